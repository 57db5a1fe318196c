"""Tries many inputs at one boundary, and counts how they end."""

from __future__ import annotations

import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

DEADLINE = 10.0
"""Seconds for one input. None needs a hundredth of it."""


class Hang(BaseException):
    """An input took longer than the deadline. Not an Exception: nothing under test may catch it."""


@dataclass(frozen=True)
class Kind:
    """`use` gives the boundary an input, and raises one of `faults`, whose text has `lines` at most, or nothing."""

    name: str
    inputs: st.SearchStrategy[Any]
    use: Callable[[Any], object]
    faults: tuple[type[Exception], ...]
    lines: int = 1


@dataclass
class Tried:
    """How the inputs of a kind ended. `wrong`: by what went wrong and where, the first input and the traceback."""

    examples: int = 0
    accepted: int = 0
    faults: int = 0
    tracebacks: int = 0
    hangs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    wrong: dict[str, tuple[Any, str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def try_many(kind: Kind, examples: int) -> Tried:
    """Give a boundary so many inputs, the same ones every time."""
    tried, began = Tried(), time.perf_counter()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(kind.inputs)
    def each(made: Any) -> None:
        if tried.examples < examples:
            _try(kind, made, tried)

    each()
    while tried.examples < examples:  # hypothesis stops where it has seen every input of a small strategy
        before = tried.examples
        each()
        assert tried.examples > before
    tried.seconds = time.perf_counter() - began
    return tried


def _try(kind: Kind, made: Any, tried: Tried) -> None:
    tried.examples += 1
    began = time.perf_counter()
    try:
        with _deadline():
            kind.use(made)
        tried.accepted += 1
    except kind.faults as fault:
        tried.faults += 1
        if len(str(fault).splitlines()) > kind.lines or not str(fault).strip():
            _note(tried, f"{type(fault).__name__} of {len(str(fault).splitlines())} lines", made, str(fault))
            tried.tracebacks += 1
    except Hang:
        tried.hangs += 1
        _note(tried, "hang", made, traceback.format_exc())
    except Exception as error:
        tried.tracebacks += 1
        last = traceback.extract_tb(error.__traceback__)[-1]
        _note(tried, f"{type(error).__name__} at {last.filename}:{last.lineno}", made, traceback.format_exc())
    tried.slowest = max(tried.slowest, time.perf_counter() - began)


def _note(tried: Tried, what: str, made: Any, said: str) -> None:
    tried.counts[what] += 1
    tried.wrong.setdefault(what, (made, said))


@contextmanager
def _deadline() -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, late)
    left, _ = signal.setitimer(signal.ITIMER_REAL, DEADLINE)  # the time that a test has left
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left)
