"""A big store of the real shape, written quickly: shards, manifests and run files, but no pydantic records.

Each trajectory has a task of its own, 10 steps, two scored turns with 10 rollouts each, and a comparison; every third
one a repair and a training example. A batch holds 32 tasks and a run 10,000, as runs and batches do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from storage.columns import RECORD_OF_TABLE, arrow_schema
from storage.ids import ID_LENGTH, content_id, digest_bytes
from storage.json_files import to_json
from storage.runs import RunFolder, StageState
from storage.shards import BatchRef, Manifest, Shard, ShardStore

BATCH_TASKS = 32
RUN_TASKS = 10_000
KEYS = {stage: content_id(stage, "big store") for stage in ("explore", "rewards")}
"""The stage key of each stage."""
TABLES = {
    "explore": ("tasks", "trajectories", "steps"),
    "rewards": ("scored_turns", "rollouts", "deviations", "calibrations", "training_examples"),
}
MACROS = "CREATE MACRO id_of(kind, i) AS printf('%016x', hash(kind, i))"
ROWS = {
    "tasks": """SELECT id_of('task', i) AS task_id, 'big' AS world, 'train' AS split, 'type ' || i % 6 AS task_type,
        'put the cup ' || i % 97 || ' in the sink' AS instruction, '{"game": ' || i || '}' AS payload FROM i""",
    "trajectories": """SELECT id_of('run', i) AS trajectory_id, id_of('task', i) AS task_id, 'explored' AS kind,
        'c0' AS checkpoint, 0 AS prefix_steps, 'You are in the middle of a room. You see a shelf ' || i % 97
        AS first_observation, 10 AS n_steps, (i % 3 = 0)::DOUBLE AS outcome, i % 3 = 0 AS success,
        CASE WHEN i % 3 = 0 THEN 'done' ELSE 'step_cap' END AS end_reason, i % 2 AS invalid_actions FROM i""",
    "steps": """SELECT id_of('run', i) AS trajectory_id, s AS step_index, 'policy' AS origin,
        'Thought: I should look at shelf ' || (i * 7 + s) % 97 || ' first.
Action: go to shelf ' || (i * 7 + s) % 97 AS text,
        'I should look at shelf ' || (i * 7 + s) % 97 || ' first.' AS thought,
        'go to shelf ' || (i * 7 + s) % 97 AS action, 'On the shelf ' || (i * 7 + s) % 97 || ', you see a cup '
        || i % 31 || ', a book ' || s || ' and a pen ' || i % 7 || '.' AS observation, true AS valid, 20 + s AS tokens
        FROM i, range(10) t(s) ORDER BY i, s""",
    "scored_turns": """SELECT id_of(side, i) AS step_reward_id, id_of('run', i) AS trajectory_id, place AS step_index,
        id_of('task', i) AS task_id, side, 'c0' AS checkpoint
        FROM i, (VALUES ('expert', 1), ('explored', 2)) t(side, place) ORDER BY i, place""",
    "rollouts": """SELECT id_of(side, i * 10 + s) AS rollout_id, id_of(side, i) AS step_reward_id, s AS sample_index,
        'c0' AS checkpoint, i * 10 + s AS seed, 1.0 AS temperature, 1.0 AS top_p,
        (s < CASE side WHEN 'expert' THEN 6 ELSE i % 10 END)::DOUBLE AS outcome, 3 AS n_steps, 60 AS tokens,
        'step_cap' AS end_reason, ['look', 'go to shelf ' || (i + s) % 97, 'take cup ' || s] AS actions,
        'Action: look' AS first_turn
        FROM i, (VALUES ('expert'), ('explored')) t(side), range(10) u(s) ORDER BY i, side, s""",
    "deviations": """SELECT id_of('compared', i) AS deviation_id, id_of('task', i) AS task_id,
        id_of('run', i) AS expert_trajectory_id, id_of('run', i) AS explored_trajectory_id, 2 AS step_index,
        'look' AS expert_action, 'go to shelf 1' AS explored_action, false AS explored_success, 0.5 AS similarity,
        true AS continues,
        id_of('expert', i) AS reference_step_reward_id, id_of('explored', i) AS explored_step_reward_id,
        0.6 AS reference_reward, i % 10 / 10 AS explored_reward, 10 AS reference_n, 10 AS explored_n,
        i % 10 / 10 - 0.6 AS gap, greatest(i % 10 / 10 - 1.1, -1) AS gap_low, least(i % 10 / 10 - 0.1, 1) AS gap_high,
        0.05 AS error_rate, 0.0 AS delta, 'paper' AS preset, 'success' AS outcome,
        CASE WHEN i % 10 < 6 THEN 'deviated' ELSE 'not_deviated' END AS verdict, 'gap < delta' AS rule,
        i % 10 < 6 AS selected FROM i""",
    "calibrations": """SELECT id_of('repair', i) AS calibration_id, id_of('compared', i) AS deviation_id,
        id_of('task', i) AS task_id, id_of('run', i) AS trajectory_id, 'template' AS reflector,
        'That was the wrong shelf.' AS reflection, 'look' AS required_action, 'expert_suffix' AS plan, true AS kept
        FROM i WHERE i % 3 = 0""",
    "training_examples": """SELECT id_of('example', i) AS example_id, 'calibrated' AS dataset,
        id_of('task', i) AS task_id, id_of('run', i) AS trajectory_id,
        2 AS target_from, 1.0 AS weight, id_of('repair', i) AS calibration_id,
        id_of('compared', i) AS deviation_id FROM i WHERE i % 3 = 0""",
}
"""By table, its rows for the trajectories in the relation `i`. Columns that are missing are NULL."""


def write(root: Path, trajectories: int, first: int = 0) -> None:
    """Shards of that many trajectories from number `first` on, and the runs that they belong to."""
    for start in range(first, first + trajectories, RUN_TASKS):
        end = min(start + RUN_TASKS, first + trajectories)
        _write_run(root, f"big-{start // RUN_TASKS:04d}-{start:08d}", start, end)


def id_of(kind: str, index: int) -> str:
    """The id of a row, as the shards have it."""
    with duckdb.connect() as connection:
        connection.execute(MACROS)
        return str(connection.execute("SELECT id_of(?, ?::BIGINT)", [kind, index]).fetchall()[0][0])


def _write_run(root: Path, run_id: str, start: int, end: int) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"{MACROS}; CREATE TABLE i AS SELECT range AS i FROM range({start}, {end})")
        tables = {table: _rows(connection, table) for table in ROWS}
    run = RunFolder(root, run_id)
    run.create("big", {"name": run_id, "rewards": {"rollouts": 10, "mode": "fixed"}})
    for stage, names in TABLES.items():
        refs = tuple(_batches(root, stage, {name: tables[name] for name in names}, start, end))
        moment = datetime.now(UTC)
        run.save_stage(
            StageState(
                stage=stage,
                round=1,
                stage_key=content_id(stage),
                status="completed",
                started_at=moment,
                ended_at=moment,
                seconds=1.0,
                batches=refs,
            )
        )


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> pa.Table:
    """The rows of a table, with the columns of its record."""
    found = connection.sql(ROWS[table]).to_arrow_table()
    schema = arrow_schema(RECORD_OF_TABLE[table])
    columns = [
        found[field.name].cast(field.type)
        if field.name in found.column_names
        else pa.nulls(len(found), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _batches(root: Path, stage: str, tables: dict[str, pa.Table], start: int, end: int) -> Iterator[BatchRef]:
    shards, draw = ShardStore(root), random.Random(f"{stage} {start}")
    folder = shards.folder / KEYS[stage]
    folder.mkdir(parents=True, exist_ok=True)
    places = dict.fromkeys(tables, 0)
    for low in range(start, end, BATCH_TASKS):
        high = min(low + BATCH_TASKS, end)
        written = []
        for table, rows in tables.items():
            # Rows follow the order of the trajectories, so a batch is a slice.
            taken = sum(_per_trajectory(table, index) for index in range(low, high))
            if taken:
                written.append(_write_shard(folder, table, rows.slice(places[table], taken)))
            places[table] += taken
        manifest = Manifest(
            stage_key=KEYS[stage],
            batch_id=f"{stage}-{low:08d}",
            shards=tuple(written),
            content=f"{draw.getrandbits(256):064x}",
            units={f"{draw.getrandbits(64):016x}": f"{draw.getrandbits(64):016x}" for _ in range(low, high)},
        )
        path, data = folder / f"{manifest.batch_id}.json", to_json(manifest)
        path.write_bytes(data)
        yield shards.reference(path, manifest, data)


def _per_trajectory(table: str, index: int) -> int:
    third = int(index % 3 == 0)
    return {
        "steps": 10,
        "scored_turns": 2,
        "rollouts": 20,
        "calibrations": third,
        "training_examples": third,
    }.get(table, 1)


def _write_shard(folder: Path, table: str, rows: pa.Table) -> Shard:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", write_statistics=False)
    data = sink.getvalue().to_pybytes()
    digest = digest_bytes(data)
    file = f"{table}-{digest[:ID_LENGTH]}.parquet"
    (folder / file).write_bytes(data)
    return Shard(table=table, file=file, sha256=digest, rows=len(rows))
