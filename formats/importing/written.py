"""The two files of an import: the runs, and beside them what was set aside. Each appears when it is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from environments.base import EnvironmentFault
from environments.identities import own_id
from formats.importing.matching import Place
from formats.importing.rows import Raw
from rollouts.play import PlayedEpisode


def set_aside_path(out: Path) -> Path:
    """Where an import with this output keeps what it set aside: runs.jsonl, runs.set-aside.jsonl."""
    return out.with_name(f"{out.stem}.set-aside.jsonl")


def row_of_run(place: Place, episode: PlayedEpisode, source: Mapping[str, Any]) -> dict[str, Any]:
    """A run as OpenAI's messages, with the id of its task and the world's own answers: what environment.demonstrations
    reads."""
    trajectory = episode.trajectory
    messages = [{"role": "user", "content": trajectory.first_observation}]
    for step in trajectory.steps:
        messages += [
            {"role": "assistant", "content": step.text},
            {"role": "user", "content": step.observation},
        ]
    return {"task_id": own_id(place.task), "messages": messages, "source": dict(source)}


class WrittenRuns:
    """The files while they are written, in their folder. Without an error, both are put in place at the end; runs only
    if there are any. Raises EnvironmentFault rather than replace a file of runs."""

    def __init__(self, out: Path) -> None:
        if out.exists():
            raise EnvironmentFault(f"{out} exists already: choose another --out, or remove it first")
        self._files = {path: path.with_name(f".{path.name}.part") for path in (out, set_aside_path(out))}
        self._counts = dict.fromkeys(self._files, 0)
        self._out, self._aside = self._files

    def __enter__(self) -> Self:
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._open = {path: part.open("w", encoding="utf-8") for path, part in self._files.items()}
        return self

    def keep(self, row: Mapping[str, Any]) -> None:
        self._write(self._out, row)

    def set_aside(self, raw: Raw, kind: str, reason: str) -> None:
        self._write(
            self._aside,
            {
                "file": str(raw.file),
                "line": raw.line,
                **({"element": raw.element} if raw.element else {}),
                "kind": kind,
                "reason": reason,
                "text": raw.kept(),
            },
        )

    def _write(self, path: Path, row: Mapping[str, Any]) -> None:
        self._open[path].write(json.dumps(row) + "\n")
        self._counts[path] += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for path, part in self._files.items():
            self._open[path].close()
            if error is None and self._counts[path]:
                os.replace(part, path)
            else:
                part.unlink(missing_ok=True)
                if error is None:
                    path.unlink(missing_ok=True)  # of an earlier import: nothing was set aside now
