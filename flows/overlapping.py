"""Runs the batches of a stage beside each other, so that the models which they wait for are busy until the last one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


def overlapped(
    work: Sequence[Callable[[], T]], most: int, stop: Callable[[], None]
) -> Iterator[tuple[int, T]]:
    """(place, result) of each piece of work as it ends; at most `most` run at once, begun in their order. Where one
    fails, or the caller is told to end, none is begun any more, `stop` ends those that run, and they are waited for."""
    if most == 1 or len(work) == 1:
        for place, one in enumerate(work):
            yield place, one()
        return
    running: dict[Future[T], int] = {}
    following = iter(enumerate(work))
    with ThreadPoolExecutor(most, "batch") as threads:
        try:
            for _ in range(most):
                _begin(threads, following, running)
            while running:
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in sorted(ended, key=running.__getitem__):
                    place = running.pop(future)
                    result = future.result()
                    _begin(threads, following, running)
                    yield place, result
        except BaseException:
            stop()
            raise


def _begin(
    threads: ThreadPoolExecutor,
    following: Iterator[tuple[int, Callable[[], T]]],
    running: dict[Future[T], int],
) -> None:
    """Begin what follows, if anything does. Prefect's flow run and the reporter are in the context."""
    for place, one in following:
        running[threads.submit(copy_context().run, one)] = place
        return
