"""The cases of `benchmarks.gpu`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.gpu.cases import TIMED, Work, divergence, measure, resume
from benchmarks.gpu.chain import run_chain
from benchmarks.gpu.inputs import LLAMA_8B, QWEN_1_5B
from benchmarks.gpu.playing import measure_playing


def plan(only: Sequence[str]) -> dict[str, Work]:
    """The cases whose names contain one of `only` (none: all), the most important first."""
    timed = {name: partial(measure, case) for name, case in TIMED.items()}
    first = dict(list(timed.items())[:2])
    shapes = (QWEN_1_5B, LLAMA_8B)
    playing = {f"{shape}-playing": partial(measure_playing, shape) for shape in shapes}
    chains = {f"{shape}-chain": partial(run_chain, shape) for shape in shapes}
    every = {**first, "resume": resume, "divergence": divergence, **timed, **playing, **chains}
    return {name: work for name, work in every.items() if not only or any(part in name for part in only)}
