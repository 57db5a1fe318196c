"""How fast turns are written on growing histories: the policy's kept keys and values against plain `generate`.

    python benchmarks/generation.py --episodes 64 --turns 10

Both write the same greedy turns of the same small model; after every turn each history grows by an observation.
Also: five sampled branches of each final history (Monte-Carlo rollouts) from a cold and from a warm cache.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

import torch

from configs.schema import SmallModelConfig
from models.policy import Generation, History, Message, Sampling
from models.small import build_small_model
from models.tokenizer import train_tokenizer
from models.transformers_policy import TransformersPolicy

PLACES = ("shelf", "cabinet", "drawer", "countertop", "fridge", "sinkbasin")
NAMES = [f"{place} {number}" for place in PLACES for number in range(1, 21)]
Act = Callable[[list[History], int], list[Generation]]


def observation(draw: random.Random, names: int) -> str:
    return "You see " + ", ".join(f"a {draw.choice(NAMES)}" for _ in range(names)) + "."


def plain_generate(model: Any, tokenizer: Any, batch: int) -> Act:
    """The baseline: the whole history is fed for every turn, in left-padded batches sorted by length."""
    tokenizer.padding_side = "left"

    def act(histories: list[History], max_tokens: int) -> list[Generation]:
        texts = [
            tokenizer.apply_chat_template(h, tokenize=False, add_generation_prompt=True) for h in histories
        ]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        answers: dict[int, Generation] = {}
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            inputs = tokenizer(
                [texts[i] for i in part], return_tensors="pt", padding=True, add_special_tokens=False
            )
            out = model.generate(**inputs, do_sample=False, max_new_tokens=max_tokens)
            new = out[:, inputs["input_ids"].shape[1] :]
            texts_out = tokenizer.batch_decode(new, skip_special_tokens=True)
            answers |= {i: Generation(t, max_tokens, "length") for i, t in zip(part, texts_out, strict=True)}
        return [answers[i] for i in range(len(histories))]

    return act


def kept(policy: TransformersPolicy) -> Act:
    return lambda histories, max_tokens: policy.act(
        histories, [0] * len(histories), Sampling(max_tokens=max_tokens)
    )


def run(act: Act, episodes: int, turns: int, max_tokens: int) -> tuple[float, list[list[Message]]]:
    """Seconds for all turns, and the conversations that came out."""
    draws = [random.Random(i) for i in range(episodes)]
    histories: list[list[Message]] = [[{"role": "user", "content": observation(d, 40)}] for d in draws]
    started = time.perf_counter()
    for _ in range(turns):
        for history, draw, turn in zip(histories, draws, act(list(histories), max_tokens), strict=True):
            history.append({"role": "assistant", "content": turn.text})
            history.append({"role": "user", "content": observation(draw, 3)})
    return time.perf_counter() - started, histories


def branches(policy: TransformersPolicy, histories: list[list[Message]], max_tokens: int) -> float:
    """Seconds for five sampled turns from every history."""
    five = [h for h in histories for _ in range(5)]
    started = time.perf_counter()
    policy.act(five, range(len(five)), Sampling(1.0, 1.0, max_tokens))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--max-tokens", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = train_tokenizer([observation(random.Random(i), 10) for i in range(100)], NAMES, 4096)
    model = build_small_model(tokenizer, SmallModelConfig()).eval()
    policy = TransformersPolicy(model, tokenizer, "benchmark", batch=args.batch)
    requests = args.episodes * args.turns
    plain, expected = run(
        plain_generate(model, tokenizer, args.batch), args.episodes, args.turns, args.max_tokens
    )
    quick, histories = run(kept(policy), args.episodes, args.turns, args.max_tokens)
    same = sum(a == b for a, b in zip(expected, histories, strict=True))
    print(f"plain generate   {requests / plain:8.1f} turns/s")
    print(f"kept KV          {requests / quick:8.1f} turns/s   x{plain / quick:.2f}")
    print(f"equal episodes   {same}/{args.episodes}")
    cold = branches(TransformersPolicy(model, tokenizer, "cold", args.batch), histories, args.max_tokens)
    warm = branches(policy, histories, args.max_tokens)
    print(
        f"5 branches each  {5 * args.episodes / cold:8.1f} turns/s cold, {5 * args.episodes / warm:.1f} warm"
    )


if __name__ == "__main__":
    main()
