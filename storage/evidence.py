"""Rollouts by the history that they continue, shared by every run of a data folder.

    evidence/<scorer>/<task>/<digest>.parquet     rows of `rollouts`; files are named by content and never changed

The history, the scorer, the sampling and the position in its random stream decide a rollout (but for tokens that are
equally likely up to float rounding). So one that was made and filed is taken from here, by another run, after a crash,
or under a larger budget. The folder only saves
work: shards hold every row that a stage used, and it may be deleted at any time.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from storage.columns import from_parquet, to_parquet
from storage.faults import StorageFault
from storage.files import write_atomic
from storage.ids import ID_LENGTH, content_id, digest_bytes
from storage.records import RolloutRecord

Rollouts = dict[tuple[str, int], RolloutRecord]
"""By step_reward_id and sample_index."""


class EvidencePool:
    """The rollouts that one scorer (its digest) has played, under `root`, the data folder."""

    def __init__(self, root: Path, scorer: str, fresh: bool = False) -> None:
        """`fresh`: what is there is not used, and gives way to what is added."""
        self.folder = root / "evidence" / scorer[:ID_LENGTH]
        self._fresh = fresh

    def load(self, task_id: str) -> Rollouts:
        """All rollouts of a task. Raises StorageFault where a file is corrupt."""
        return {} if self._fresh else self._read(task_id)[0]

    def add(self, task_id: str, rows: Iterable[RolloutRecord]) -> None:
        """Keep rows beside those that are there, also those that another process adds at the same time."""
        known, files = self._read(task_id)
        merged = known | {(row.step_reward_id, row.sample_index): row for row in rows}
        ordered = [merged[key] for key in sorted(merged)]
        data = to_parquet(RolloutRecord, ordered)
        path = self._folder_of(task_id) / f"{digest_bytes(data)[:ID_LENGTH]}.parquet"
        write_atomic(path, data)
        for file in files:  # their rows are in the new file
            if file != path:
                file.unlink(missing_ok=True)

    def _folder_of(self, task_id: str) -> Path:
        return self.folder / content_id(task_id)

    def _read(self, task_id: str) -> tuple[Rollouts, list[Path]]:
        while True:
            files = sorted(self._folder_of(task_id).glob("*.parquet"))
            try:
                rows = [row for file in files for row in _rows(file)]
            except FileNotFoundError:  # another process has just merged it into a new one
                continue
            return {(row.step_reward_id, row.sample_index): row for row in rows}, files


def _rows(file: Path) -> list[RolloutRecord]:
    data = file.read_bytes()
    if digest_bytes(data)[:ID_LENGTH] != file.stem:
        raise StorageFault(f"evidence file {file} is corrupt; delete it: its rollouts are then played again")
    return from_parquet(RolloutRecord, data)
