"""vLLM's offline batch, for benchmarks.serving: runs in vLLM's interpreter, so it imports nothing of this project.

Reads {"model", "engine", "batches": [[messages, ...], ...], "max_tokens"} as JSON from the first file, generates
greedily after a warm-up batch, and writes [{"seconds", "texts", "tokens"}, ...] to the second file.
"""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    from vllm import LLM, SamplingParams

    asked = json.loads(Path(sys.argv[1]).read_text())
    model = LLM(model=asked["model"], **asked["engine"])
    greedy = SamplingParams(temperature=0.0, max_tokens=asked["max_tokens"])
    model.chat(asked["batches"][0][:8], greedy, use_tqdm=False)
    results = []
    for batch in asked["batches"]:
        began = time.perf_counter()
        answers = [answer.outputs[0] for answer in model.chat(batch, greedy, use_tqdm=False)]
        seconds = time.perf_counter() - began
        tokens = sum(len(answer.token_ids) for answer in answers)
        results.append({"seconds": seconds, "texts": [answer.text for answer in answers], "tokens": tokens})
    Path(sys.argv[2]).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
