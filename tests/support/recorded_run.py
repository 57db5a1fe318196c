"""What the tiny run gives, as JSON values. Compared with tests/fixtures/tiny-run.json, which an earlier commit wrote.

Restructuring must not change any of it. `portable` is the same on every machine. `learned` depends on the last digits
of a model's arithmetic, so on the CPU and on torch (`machine`).

After a change that is meant to change results, update the file with

    pytest tests/flows/test_recorded_run.py --record
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from configs.schema import FactoryConfig
from environments.registry import open_world
from flows.runs.run import run_id
from flows.work.planning import planned
from rollouts.rows import of_type
from rollouts.stages.assemble import assemble
from storage.ids import content_id
from storage.records import (
    RECORDS,
    CalibrationRecord,
    CheckpointRecord,
    DeviationRecord,
    EvaluationRecord,
    Record,
    TrainingExampleRecord,
)
from storage.row_digest import digest_of_rows
from storage.runs import RunFolder, StageState
from storage.shards import BatchRef, ShardStore
from tasks.batch_task import BatchTask
from tasks.caching import cache_key
from tasks.resources.run_resources import RunResources
from tasks.stage_tasks import (
    assemble_batch,
    calibrate_batch,
    decide_batch,
    demonstrate_batch,
    evaluate_batch,
    explore_batch,
    forced_deviations_batch,
    pair_batch,
    prefer_batch,
    sample_batch,
    score_batch,
    score_ipr_batch,
    train_base_batch,
    train_batch,
    warmup_batch,
)
from tests.support.rollouts_toys import Toy, config, demonstrated, fragile
from tests.support.staged_rows import staged_rows

FIXTURE = Path(__file__).parent.parent / "fixtures" / "tiny-run.json"
BATCH_TASKS = (
    demonstrate_batch, warmup_batch, explore_batch, score_batch, decide_batch, calibrate_batch, assemble_batch,
    train_batch, forced_deviations_batch, evaluate_batch,
    sample_batch, score_ipr_batch, pair_batch, train_base_batch, prefer_batch,
)  # fmt: skip
OF_FLOATS = {"deviation_id", "calibration_id", "example_id"}
"""Ids that are hashes of computed numbers, including their last digits."""


def machine() -> dict[str, Any]:
    """What the last digits of a model's arithmetic depend on."""
    fields = {"vendor_id": "", "cpu family": "", "model": ""}
    path = Path("/proc/cpuinfo")
    for line in reversed(path.read_text().splitlines() if path.exists() else []):
        name, _, value = line.partition(":")
        if name.strip() in fields:
            fields[name.strip()] = value.strip()
    return {"capability": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__, **fields}


def recorded(finished: FactoryConfig) -> dict[str, Any]:
    """Everything that is compared, for a finished run of this configuration."""
    stages = RunFolder(finished.data_dir, run_id(finished)).stages()
    rows = rows_of(finished, stages)
    return json.loads(
        json.dumps(
            {
                "machine": machine(),
                "portable": portable(finished, stages, rows),
                "learned": learned(finished, stages, rows),
            }
        )
    )


def rows_of(finished: FactoryConfig, stages: Sequence[StageState]) -> dict[str, list[Record]]:
    """The rows of a run by stage, in the order in which its batches hold them."""
    shards = ShardStore(finished.data_dir)
    return {
        state.stage: [row for ref in (*state.batches, *state.calls) for row in shards.read_batch(ref)]
        for state in stages
    }


def portable(
    finished: FactoryConfig, stages: Sequence[StageState], rows: dict[str, list[Record]]
) -> dict[str, Any]:
    """What does not depend on a model's arithmetic."""
    tasks = planned(open_world(finished.environment), finished)
    early = [ref for state in stages if state.stage == "demonstrate" for ref in state.batches]
    names = results(finished, [ref for state in stages for ref in state.batches])
    trained = [row for of in rows.values() for row in of_type(of, CheckpointRecord)]
    return {
        "run": run_id(finished),
        "stages": [f"{state.round}-{state.stage} {state.status}" for state in stages],
        "tasks": {part: [task.task_id for task in of] for part, of in tasks.items()},
        "versions": sorted({name.rsplit("-", 1)[0] for name in names}),
        "keys": keys(finished),
        "demonstrate": batches(early),
        "results": [name for name in names if name.startswith(("demonstrate-", "warmup-"))],
        "rows": tables(rows["demonstrate"]),
        "trainings": {row.role: {"steps": row.steps, "parameters": row.parameters} for row in trained},
        "by hand": by_hand(),
    }


def learned(
    finished: FactoryConfig, stages: Sequence[StageState], rows: dict[str, list[Record]]
) -> dict[str, Any]:
    """What depends on a trained model."""
    refs = [ref for state in stages for ref in state.batches]
    every = [row for of in rows.values() for row in of]
    trained = of_type(every, CheckpointRecord)
    return {
        "batches": {f"{state.round}-{state.stage}": batches(state.batches) for state in stages},
        "results": results(finished, refs),
        "rows": tables(every),
        "checkpoints": {row.role: row.digest for row in trained},
        "losses": {row.role: [round(loss, 4) for loss in row.losses] for row in trained},
        "success": counted(
            f"{r.role} {r.split} {r.start} {r.success}" for r in of_type(every, EvaluationRecord)
        ),
        "verdicts": counted(f"{row.verdict}: {row.rule}" for row in of_type(every, DeviationRecord)),
        "calibrations": counted(row.rejection or "kept" for row in of_type(every, CalibrationRecord)),
        "examples": counted(row.dataset for row in of_type(every, TrainingExampleRecord)),
    }


def batches(refs: Iterable[BatchRef]) -> dict[str, str]:
    """Stage key and id of every batch, in order, with the digest of its rows."""
    return {f"{ref.stage_key}/{ref.batch_id}": ref.content for ref in refs}


def results(finished: FactoryConfig, refs: Sequence[BatchRef]) -> list[str]:
    """The names of the cached results that refer to these batches: their cache keys."""
    wanted = {(ref.batch_id, ref.sha256) for ref in refs}
    found = []
    for path in (finished.data_dir / "results").iterdir():
        ref = json.loads(json.loads(path.read_bytes())["result"])["ref"]
        if (ref["batch_id"], ref["sha256"]) in wanted:
            found.append(path.name)
    return sorted(found)


def tables(rows: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """For each table the number of rows, their digest, and a digest of the order of their keys."""
    found = {}
    for record in RECORDS:
        own = [row for row in rows if isinstance(row, record)]
        order = [[getattr(row, name) for name in record.key] for row in own]
        found[record.table] = {"rows": len(own), "content": digest_of_rows(own), "order": content_id(order)}
    return found


def keys(finished: FactoryConfig) -> dict[str, str]:
    """For each stage task a cache key with the run's settings and made-up inputs. It changes when the task reads other
    settings."""
    resources = RunResources(finished)
    return {task.name: key_of(task, resources) for task in BATCH_TASKS}


def key_of(task: BatchTask, resources: RunResources, checkpoint: str = "c0ffee") -> str:
    request = task.request(resources, "part", {"records": []}, checkpoint, round="0")
    return cache_key(task.name, task.version, request.inputs)


def counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def by_hand() -> dict[str, dict[str, str]]:
    """The stages' work with a deterministic hand-made policy: by stage and table the number of rows and a digest. The
    digest leaves out the ids in OF_FLOATS and rounds numbers to nine digits, so it is the same on every machine."""
    settings = config(
        rewards={"mode": "fixed", "rollouts": 3}, deviation={"preset": "paper", "delta": 0}, seed=3
    )
    rows = staged_rows(demonstrated(6), Toy(fragile(0.3)), settings)
    return {
        "demonstrate": coarse(rows.demonstrated),
        "explore": coarse(rows.explored),
        "score": coarse(rows.scores),
        "decide": coarse(rows.verdicts),
        "calibrate": coarse(rows.repairs),
        "assemble": coarse(assemble(rows.records, demonstrated(2), settings.datasets)),
    }


def coarse(rows: Sequence[Record]) -> dict[str, str]:
    """By table the number of rows and a digest of them."""
    found = {}
    for table in sorted({row.table for row in rows}):
        told = [
            _rounded(row.model_dump(mode="json", exclude=OF_FLOATS)) for row in rows if row.table == table
        ]
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        found[table] = f"{len(told)} {digest[:16]}"
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(of) for name, of in value.items()}
    if isinstance(value, list):
        return [_rounded(of) for of in value]
    return round(value, 9) if isinstance(value, float) else value
