"""Stored rollouts by the history that they continue, shared by every run of a data folder.

    evidence/<scorer>/<task>/<digest>.parquet     rows of `rollouts`; files are named by content and never changed

A rollout is determined by the history, the scorer, the sampling settings and the position in its random stream (except
for tokens whose probabilities are equal up to float rounding). So a stored rollout is used again by other runs, after a
crash, and under a larger budget. The folder only saves work and may be deleted at any time: shards hold every row
that a stage used.

Who plays rollouts of a task holds its lock (`RolloutPool.playing`), so that two batches that want the same ones do not
both play them. Nothing relies on it: the rollout that is stored first wins. A server may answer differently each time:
two runs that score a turn at the same time then both use the stored rollouts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from storage.columns import from_parquet, to_parquet
from storage.files import set_aside, write_atomic, writing_in
from storage.ids import ID_LENGTH, content_id, digest_bytes
from storage.records import RolloutRecord

Rollouts = dict[tuple[str, int], RolloutRecord]
"""By step_reward_id and sample_index."""
LOOKS_AGAIN_AFTER = 0.2
"""Seconds."""


class RolloutPool:
    """The rollouts that one scorer (its digest) has played, under `root`, the data folder."""

    def __init__(
        self,
        root: Path,
        scorer: str,
        log: Callable[[str], None] = lambda line: None,
        fresh: bool = False,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`log` reports damaged files, and waits. `fresh`: ignore stored rollouts, and replace them by those that are
        added. `wait` is called with seconds while others play; what it raises ends that."""
        self.folder, self._log, self._fresh = root / "evidence" / scorer[:ID_LENGTH], log, fresh
        self._wait = wait
        self._own: dict[str, Rollouts] = {}

    def load(self, task_id: str) -> Rollouts:
        """All rollouts of a task. A damaged file is renamed and left out: its rollouts are played again."""
        return dict(self._own.get(task_id, {})) if self._fresh else self._read(task_id)[0]

    def add(self, task_id: str, rows: Iterable[RolloutRecord]) -> Rollouts:
        """Store rollouts. Returns what is stored under their keys: where another process was first, its rollouts.
        Raises StorageFault if they cannot be written."""
        new = {(row.step_reward_id, row.sample_index): row for row in rows}
        with writing_in(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock"):
                known, files = self._read(task_id)
                merged = known | new if self._fresh else new | known
                if merged != known or len(files) > 1:
                    self._write(task_id, merged, files)
        if self._fresh:
            self._own.setdefault(task_id, {}).update(new)
        return {key: merged[key] for key in new}

    @contextmanager
    def playing(self, task_ids: Collection[str]) -> Iterator[set[str]]:
        """Those of the tasks that nobody else plays, here or in another process; until the end, nobody else does. At
        least one of them: where all are being played, it waits. So a caller plays what is free first, and then asks for
        the rest; it never holds one task while it waits for another. Raises StorageFault."""
        if self._fresh:
            yield set(task_ids)
            return
        with ExitStack() as held:
            free = self._lock(task_ids, held)
            if task_ids and not free:
                self._log(
                    f"another batch plays rollouts of the same {len(task_ids):,} tasks: waiting for them"
                )
            while task_ids and not free:
                self._wait(LOOKS_AGAIN_AFTER)
                free = self._lock(task_ids, held)
            yield free

    def _lock(self, task_ids: Collection[str], held: ExitStack) -> set[str]:
        """The tasks that can be locked now; `held` releases them."""
        free = set()
        with writing_in(self.folder):
            folder = self.folder / "playing"
            folder.mkdir(parents=True, exist_ok=True)
            for task_id in sorted(task_ids):
                lock = FileLock(folder / f"{content_id(task_id)}.lock", thread_local=False)
                try:
                    held.enter_context(lock.acquire(blocking=False))
                except Timeout:
                    continue
                free.add(task_id)
        return free

    def _write(self, task_id: str, rows: Rollouts, files: Iterable[Path]) -> None:
        """Write all rows to one file that replaces `files`."""
        data = to_parquet(RolloutRecord, [rows[key] for key in sorted(rows)])
        path = self._folder_of(task_id) / f"{digest_bytes(data)[:ID_LENGTH]}.parquet"
        write_atomic(path, data)
        for file in files:
            if file != path:
                file.unlink(missing_ok=True)

    def _folder_of(self, task_id: str) -> Path:
        return self.folder / content_id(task_id)

    def _read(self, task_id: str) -> tuple[Rollouts, list[Path]]:
        while True:
            files = sorted(self._folder_of(task_id).glob("*.parquet"))
            try:
                found = [self._rows(file) for file in files]
            except FileNotFoundError:  # another process has just merged it into a new file, or renamed it
                continue
            if None not in found:
                rows = [row for part in found for row in part or ()]
                break
        # Version 0.3.0 could store two rollouts under one key. The smallest id is used, as in the store.
        rows.sort(key=lambda row: row.rollout_id, reverse=True)
        return {(row.step_reward_id, row.sample_index): row for row in rows}, files

    def _rows(self, file: Path) -> list[RolloutRecord] | None:
        """None if the file is damaged; it is renamed."""
        if (rows := rollouts_in(file)) is None:
            renamed = set_aside(file)
            self._log(
                f"rollout file {file} is damaged: renamed to {renamed.name}, its rollouts are played again"
            )
        return rows


def rollouts_in(file: Path) -> list[RolloutRecord] | None:
    """The rows of a file of the pool; None if it is damaged."""
    data = file.read_bytes()
    if digest_bytes(data)[:ID_LENGTH] != file.stem:
        return None
    try:
        return from_parquet(RolloutRecord, data)
    except ValueError:  # undamaged, but another version wrote it
        return None
