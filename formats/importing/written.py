"""The two files of an import: the runs, and beside them what was set aside. Each appears when it is whole.

OUT                      the runs
OUT.set-aside.jsonl      what was set aside, if anything was
.OUT.part, .OUT.lock     while the import runs, beside them; .OUT.set-aside.jsonl.part too
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from configs.json_text import parse_json
from environments.base import EnvironmentFault
from environments.identities import own_id
from formats.importing.matching import Place
from formats.importing.rows import Raw
from formats.importing.verdicts import KINDS
from rollouts.play import PlayedEpisode


def set_aside_path(out: Path) -> Path:
    """Where an import with this output keeps what it set aside: runs.jsonl.set-aside.jsonl for runs.jsonl."""
    return out.with_name(f"{out.name}.set-aside.jsonl")


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
    if there are any. Only for one import at a time. Raises EnvironmentFault, at the beginning and at the end, rather
    than replace a file of runs or one that no import has written."""

    def __init__(self, out: Path) -> None:
        self._out, self._aside = out, set_aside_path(out)
        self._parts = {path: path.with_name(f".{path.name}.part") for path in (self._out, self._aside)}
        self._counts = dict.fromkeys(self._parts, 0)

    def __enter__(self) -> Self:
        self._out.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(_only_import_to(self._out))
            _refuse_taken(self._out)
            self._open = {
                path: stack.enter_context(part.open("w", encoding="utf-8"))
                for path, part in self._parts.items()
            }
            self._held = stack.pop_all()
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
        with self._held:
            kept: list[Path] = []
            try:
                for file in self._open.values():
                    file.close()
                if error is None:
                    kept = [path for path in self._parts if not self._put(path)]
            finally:
                for path in self._parts.keys() - kept:
                    self._parts[path].unlink(missing_ok=True)
        if kept:
            raise EnvironmentFault("; ".join(map(self._in_the_way, kept)))

    def _in_the_way(self, path: Path) -> str:
        part = self._parts[path]
        return f"{path} appeared during the import and is not replaced: move it away, and rename {part} to {path.name}"

    def _put(self, path: Path) -> bool:
        """Put a file in place, if it has a line. Whether nothing was in its way."""
        if path == self._aside and _is_set_aside(path):
            path.unlink()  # of an earlier import to the same file
        return not self._counts[path] or _placed(self._parts[path], path)


@contextmanager
def _only_import_to(out: Path) -> Iterator[None]:
    """Raises EnvironmentFault where another import to this file runs."""
    lock = FileLock(out.with_name(f".{out.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise EnvironmentFault(
            f"another import to {out} is running: wait for it, or choose another --out"
        ) from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _refuse_taken(out: Path) -> None:
    """Raises EnvironmentFault where an import to this file would have to replace something."""
    aside = set_aside_path(out)
    if os.path.lexists(out):
        raise EnvironmentFault(f"{out} exists already: choose another --out, or remove it first")
    if os.path.lexists(aside) and not _is_set_aside(aside):
        raise EnvironmentFault(
            f"{aside} exists already, and no import has written it: choose another --out, or move it away first"
        )


def _is_set_aside(path: Path) -> bool:
    """Whether a file begins with a line of `set_aside`."""
    try:
        with path.open("rb") as file:
            row = parse_json(file.readline())
    except (OSError, ValueError, RecursionError):
        return False
    return (
        isinstance(row, dict)
        and row.get("kind") in list(KINDS)
        and {"file", "line", "reason", "text"} <= row.keys()
    )


def _placed(part: Path, path: Path) -> bool:
    """Give a file its name, unless there is one of that name. Whether there was none."""
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: the name is taken first
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return False
        os.replace(part, path)
    return True
