"""A stand-in for vLLM's server: really serves the checkpoint, with the local engine.

    python -m tests.support.vllm_stand_in --model FOLDER --served-model-name NAME --host 127.0.0.1 --port 8000

A seed gives the same turn as models.local.transformers_policy, so whole runs can be compared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import threading
from pathlib import Path

import torch

from models.checkpoint_ref import reference
from models.local.transformers_policy import TransformersPolicy
from models.policy import Sampling
from tests.support.fake_openai.replies import completion, json_reply
from tests.support.fake_openai.server import FakeOpenAI, Record
from tests.support.fake_openai.wire import Reply


class Serving(FakeOpenAI):
    """The strict server with the model's own token counts; thinking is in a separate field."""

    def __init__(self, policy: TransformersPolicy, name: str, port: int) -> None:
        super().__init__(name, dialect="vllm", key=os.environ.get("VLLM_API_KEY"), port=port)
        self._policy = policy

    def _honest(self, record: Record) -> Reply:
        request = record.body
        sampling = Sampling(
            request.get("temperature", 1.0), request.get("top_p", 1.0), request.get("max_tokens", 64),
            thinking=request.get("chat_template_kwargs", {}).get("enable_thinking", False),
        )  # fmt: skip
        turn = self._policy.act([request["messages"]], [request.get("seed", 0)], sampling)[0]
        unlimited = {**request, "max_tokens": None}
        reply = completion(
            unlimited, turn.text, dialect="vllm", model=self.model, number=record.number, cached=0, n_ctx=math.inf
        )  # fmt: skip
        data = json.loads(reply.body)
        data["usage"]["completion_tokens"] = turn.tokens
        data["choices"][0]["finish_reason"] = turn.finish
        data["choices"][0]["message"]["reasoning"] = turn.thinking or None
        return json_reply(200, data)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--model", "--served-model-name", "--host"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", required=True, type=int)
    given, _ = parser.parse_known_args()
    torch.set_num_threads(1)
    policy = TransformersPolicy.from_checkpoint(reference(Path(given.model)), "cpu")
    with Serving(policy, given.served_model_name, given.port):
        print(f"serving {given.served_model_name}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
