"""Counts what a factory plays. Every Python process that has this folder in PYTHONPATH imports this file at its start.

The file that the variable PLAYED names gets a line for each batch and for each episode when it is begun, so that what a
killed process had begun is counted too. Nothing else of the factory is changed. Standard library only.
"""

from __future__ import annotations

import importlib.machinery
import os
import select
import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

BATCHES = ("tasks.batch_task", "tasks.batch")  # the second in version 0.3.0
EPISODES = "rollouts.play"
BEGUN = ("started", "begun")
"""The constructor of an episode that begins; the second in version 0.3.0."""


def note(line: str) -> None:
    handle = os.open(os.environ["PLAYED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def count_batches(module: ModuleType) -> None:
    kind = vars(module).get("BatchTask")
    if kind is None or "_write" not in vars(kind):
        return
    write = kind._write

    def counted(self: Any, *given: Any) -> Any:
        note(f"batch {self.name}")
        return write(self, *given)

    kind._write = counted


def count_episodes(module: ModuleType) -> None:
    episode = module._Episode
    name = next(name for name in BEGUN if hasattr(episode, name))
    begin = getattr(episode, name)

    def counted(*given: Any) -> Any:
        note("episode")
        return begin(*given)

    setattr(episode, name, staticmethod(counted))


class Counting:
    """Finds the modules that are to count as always, and changes them once they are executed."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        change = count_batches if name in BATCHES else count_episodes if name == EPISODES else None
        spec = importlib.machinery.PathFinder.find_spec(name, path) if change else None
        if spec and spec.loader and change:
            spec.loader.exec_module = _then(spec.loader.exec_module, change)  # type: ignore
        return spec


def _then(
    execute: Callable[[ModuleType], None], change: Callable[[ModuleType], None]
) -> Callable[[ModuleType], None]:
    def both(module: ModuleType) -> None:
        execute(module)
        change(module)

    return both


def sleep(seconds: Any) -> None:
    """As time.sleep, which libfaketime makes fail (EINVAL) after a step of the clock."""
    select.select([], [], [], seconds)


if "FAKETIME_TIMESTAMP_FILE" in os.environ:
    time.sleep = sleep
if "PLAYED" in os.environ:
    sys.meta_path.insert(0, Counting())
