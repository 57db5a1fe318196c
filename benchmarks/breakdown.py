"""Where the wall time of the rewards stage goes: the policy's parts, the environment, the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from rich.table import Table

from environments.alfworld.environment import AlfworldEnvironment
from models.local import decoding, transformers_policy
from models.local.kv import KVBatch, KVPool, PrefixCache
from models.local.rendering import HistoryEncoder
from models.local.transformers_policy import TransformersPolicy
from models.local.turns import TurnReader

MODEL, KV, SAMPLING = "model(...)", "copying keys and values", "sampling"
ENVIRONMENT = ("reset", "restore", "step", "snapshot", "progress")


class SelfTimer:
    """Self time (wall clock) by category: that of each wrapped function, without the wrapped functions that it
    calls."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner = [0.0]

    def wrap(self, work: Callable[..., Any], category: str) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            began = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                took = time.perf_counter() - began
                self.seconds[category] += took - self._inner.pop()
                self._inner[-1] += took

        return timed

    @contextmanager
    def on(self, places: Sequence[tuple[object, str, str]]) -> Iterator[None]:
        """Time these attributes: (owner, name, category)."""
        with ExitStack() as stack:
            for owner, name, category in places:
                work = self.wrap(getattr(owner, name), category)
                stack.enter_context(mock.patch.object(owner, name, work))
            yield


def places(policy: TransformersPolicy) -> list[tuple[object, str, str]]:
    """What the breakdown times: (owner, attribute, category)."""
    named = {
        MODEL: [(policy.model, "forward")],
        KV: [(KVBatch, "select"), (KVPool, "batch"), (torch.Tensor, "copy_"), (PrefixCache, "add")],
        SAMPLING: [(decoding, "sample_tokens"), (transformers_policy, "_uniforms")],
        "tokens and texts": [(HistoryEncoder, "encode"), (TurnReader, "read")],
        "environment": [(AlfworldEnvironment, name) for name in ENVIRONMENT],
        "planning batches": [(policy, "_assign_prefixes"), (policy, "_cache_turns")],
        "inputs of the forward pass": [(decoding, "forward"), (decoding, "prefill")],
        "decoding loop": [(transformers_policy, "decode")],
        "rest of the policy": [(policy, "act")],
    }
    return [(owner, name, category) for category, pairs in named.items() for owner, name in pairs]


def breakdown(policy: TransformersPolicy, stage: Callable[[TransformersPolicy], object]) -> Table:
    """Where the wall time of a stage goes, and how much is spent outside the model."""
    clock = SelfTimer()
    with clock.on(places(policy)):
        began = time.perf_counter()
        stage(policy)
        wall = time.perf_counter() - began
    clock.seconds["rest of the stage"] = wall - sum(clock.seconds.values())
    rows = dict(clock.seconds.most_common())
    rows["all outside model(...)"] = wall - rows[MODEL]
    rows["all outside the model, KV copies and sampling"] = wall - rows[MODEL] - rows[KV] - rows[SAMPLING]
    table = Table("where", "s", "%", title="Wall time of the rewards stage")
    for name, seconds in rows.items():
        table.add_row(name, f"{seconds:.2f}", f"{100 * seconds / wall:.1f}")
    return table
