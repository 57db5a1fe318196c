"""Bring the tables about runs up to date with the run files. Runs inside the caller's transaction.

The file of a stage lists its batches, megabytes in a large run. So only files that changed are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import duckdb

from storage.ingest.read_files import files_in, folders_in, insert_rows, known_files, remember
from storage.ingest.scan import SetAside, read_run, read_stage
from storage.runs import RunInfo, StageState

MAIN = "run.json"


@dataclass
class _Changes:
    """Run files that changed, with what they say, and those that cannot be used."""

    runs: list[RunInfo] = field(default_factory=list)
    states: list[tuple[str, StageState]] = field(default_factory=list)
    read: dict[str, str] = field(default_factory=dict)  # their signatures, by file
    unchanged: set[str] = field(default_factory=set)
    aside: list[SetAside] = field(default_factory=list)


def refresh_runs(connection: duckdb.DuckDBPyConnection, root: Path) -> list[SetAside]:
    """Replace the rows of run_configs, run_stages and run_batches whose files changed. Returns the files that cannot be
    used."""
    known = known_files(connection, "runs")
    if not known:  # nor is it known which files any rows came from
        for table in ("run_configs", "run_stages", "run_batches"):
            connection.execute(f"DELETE FROM {table}")
    changes = _Changes()
    for folder in folders_in(root / "runs"):
        _read_changed(root, folder, known, changes)
    gone = known.keys() - changes.unchanged - changes.read.keys()
    _delete(connection, {*gone, *changes.read})
    insert_rows(connection, "run_configs", [_run_row(run) for run in changes.runs])
    insert_rows(connection, "run_stages", [_stage_row(run_id, state) for run_id, state in changes.states])
    batches = [row for run_id, state in changes.states for row in _batch_rows(run_id, state)]
    insert_rows(connection, "run_batches", batches)
    remember(connection, changes.read, gone)
    return changes.aside


def _read_changed(root: Path, folder: Path, known: Mapping[str, str], changes: _Changes) -> None:
    """Add what changed in the folder of one run. Where its run.json cannot be used, its stages are not."""
    main = files_in(root, folder, MAIN)
    for file, sign in main.items():
        if known.get(file) == sign:
            changes.unchanged.add(file)
        elif isinstance(info := read_run(root, root / file), SetAside):
            changes.aside.append(info)
            return
        else:
            changes.runs.append(info)
            changes.read[file] = sign
    for file, sign in sorted(files_in(root, folder / "stages", ".json").items()) if main else ():
        if known.get(file) == sign:
            changes.unchanged.add(file)
        elif isinstance(state := read_stage(root, root / file), SetAside):
            changes.aside.append(state)
        else:
            changes.states.append((folder.name, state))
            changes.read[file] = sign


def _delete(connection: duckdb.DuckDBPyConnection, files: Iterable[str]) -> None:
    """Delete the rows that came from these files."""
    runs, stages = [], []
    for path in map(PurePosixPath, files):
        if path.name == MAIN:
            runs.append([path.parent.name])
        else:
            round, _, stage = path.stem.partition("-")
            stages.append([path.parent.parent.name, int(round), stage])
    for rows, tables, columns in (
        (runs, ("run_configs",), ("run_id",)),
        (stages, ("run_stages", "run_batches"), ("run_id", "round", "stage")),
    ):
        if rows:
            values = [list(column) for column in zip(*rows, strict=True)]
            keys = ", ".join(f"unnest(${place + 1}) AS {name}" for place, name in enumerate(columns))
            match = ", ".join(columns)
            for table in tables:
                connection.execute(
                    f"DELETE FROM {table} WHERE ({match}) IN (SELECT ({match}) FROM (SELECT {keys}))", values
                )


def _run_row(run: RunInfo) -> list[object]:
    config = json.dumps(run.config, sort_keys=True)
    return [run.run_id, run.name, config, run.config_digest, utc(run.created_at), run.package_version]


def _stage_row(run_id: str, state: StageState) -> list[object]:
    return [
        run_id,
        state.round,
        state.stage,
        state.stage_key,
        state.status,
        utc(state.started_at),
        utc(state.ended_at),
        state.seconds,
        len(state.batches),
        state.cached_batches,
        state.checkpoint,
        state.error,
        state.flow_run_id,
        state.stopped,
        *([spent.rollouts, spent.tokens, spent.seconds, spent.usd] if (spent := state.spent) else [None] * 4),
    ]


def _batch_rows(run_id: str, state: StageState) -> list[list[object]]:
    refs = {(ref.stage_key, ref.batch_id): ref for ref in (*state.batches, *state.calls)}
    return [[run_id, state.round, state.stage, *key, ref.sha256] for key, ref in refs.items()]


def utc(moment: datetime | None) -> datetime | None:
    """The time in UTC without its zone: clients can read such a column without a time-zone library."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None
