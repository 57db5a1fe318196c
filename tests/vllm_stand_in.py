"""Stands in for vLLM's server where vLLM is not installed: really serves the checkpoint, through transformers.

    python -m tests.vllm_stand_in --model FOLDER --served-model-name NAME --host 127.0.0.1 --port 8000

One seed gives the very turn that models.transformers_policy gives for it, so whole runs can be compared.
"""

from __future__ import annotations

import argparse
import os
import threading
from pathlib import Path

from models.policy import Sampling
from models.reference import reference
from models.transformers_policy import TransformersPolicy
from tests.fake_openai import FakeOpenAI
from tests.fake_openai_replies import Request


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--model", "--served-model-name", "--host"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", required=True, type=int)
    given, _ = parser.parse_known_args()
    import torch

    torch.set_num_threads(1)
    policy = TransformersPolicy.from_checkpoint(reference(Path(given.model)), "cpu")

    def answer(request: Request, _: int) -> str:
        sampling = Sampling(
            request.get("temperature", 1.0), request.get("top_p", 1.0), request.get("max_tokens", 64)
        )
        return policy.act([request["messages"]], [request.get("seed", 0)], sampling)[0].text

    key = os.environ.get("VLLM_API_KEY")
    with FakeOpenAI(given.served_model_name, dialect="vllm", answer=answer, key=key, port=given.port):
        print(f"serving {given.served_model_name}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
