"""The tiny run gives what it gave before: the same run id, cache keys, rows, checkpoints and learning figures."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from configs.schema import FactoryConfig
from flows.runs.run import run_id
from storage.runs import RunFolder
from storage.shards import ShardStore
from tasks.resources.run_resources import RunResources
from tests.support.recorded_run import BATCH_TASKS, FIXTURE, by_hand, key_of, keys, recorded
from tests.support.tiny_factory import tiny


@cache
def known() -> dict[str, Any]:
    return json.loads(FIXTURE.read_text())


@pytest.fixture(scope="module")
def now(finished: FactoryConfig, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the run gives now; with --record it becomes the fixture."""
    found = recorded(finished)
    if request.config.getoption("--record"):
        FIXTURE.write_text(json.dumps(found, indent=1) + "\n")
    return found


def test_what_does_not_depend_on_a_model_is_unchanged(now: dict[str, Any]) -> None:
    for name, value in known()["portable"].items():
        assert now["portable"][name] == value, name
    assert now["portable"].keys() == known()["portable"].keys()


def test_what_depends_on_a_model_is_unchanged_on_the_same_kind_of_cpu(now: dict[str, Any]) -> None:
    if now["machine"] != known()["machine"]:
        pytest.skip(f"recorded on {known()['machine']}, this is {now['machine']}: results vary across CPUs")
    for name, value in known()["learned"].items():
        assert now["learned"][name] == value, name
    assert now["learned"].keys() == known()["learned"].keys()


def test_the_fixture_covers_every_table() -> None:
    """Or an empty table would be compared with an empty one."""
    learned, portable = known()["learned"], known()["portable"]
    empty = {table for table, of in learned["rows"].items() if not of["rows"]}
    # test_baselines.py has the first, test_judged_run.py the second
    assert empty == {"preference_pairs", "judgements", "repair_choices", "llm_calls"}
    assert all(learned["losses"].values())
    assert all(learned[name] for name in ("success", "verdicts", "calibrations", "examples"))
    assert [*portable["keys"]] == [task.name for task in BATCH_TASKS]
    assert {table for of in portable["by hand"].values() for table in of} == {
        "tasks", "trajectories", "steps", "scored_turns", "rollouts", "deviations", "calibrations",
        "training_examples",
    }  # fmt: skip


def test_a_changed_row_is_noticed(finished: FactoryConfig, tmp_path: Path) -> None:
    """One observation of one step, in a copy of the run."""
    shutil.copytree(finished.data_dir, tmp_path / "copy")
    copied = finished.model_copy(update={"data_dir": tmp_path / "copy"})
    before = recorded(copied)
    assert before == recorded(finished)
    folder, shards = RunFolder(copied.data_dir, run_id(copied)), ShardStore(copied.data_dir)
    state = next(state for state in folder.stages() if state.stage == "demonstrate")
    first, *others = state.batches
    rows = shards.read_batch(first)
    at = next(index for index, row in enumerate(rows) if row.table == "steps")
    rows[at] = rows[at].model_copy(update={"observation": "Nothing happens here."})
    other = shards.write_batch(first.stage_key, first.batch_id, rows)
    folder.save_stage(state.model_copy(update={"batches": (other, *others)}))
    after = recorded(copied)
    for part, names in {
        "portable": ("demonstrate", "results", "rows"),
        "learned": ("batches", "results", "rows"),
    }.items():
        changed = [name for name in after[part] if after[part][name] != before[part][name]]
        assert sorted(changed) == sorted(names)
    tables = before["learned"]["rows"]
    assert [table for table in tables if after["learned"]["rows"][table] != tables[table]] == ["steps"]


@pytest.mark.parametrize(
    ("override", "touched"),
    [
        (
            "environment.step_cap=11",
            {
                *("demonstrate", "warmup", "explore", "sample", "score", "score_ipr"),
                *("calibrate", "force", "evaluate"),
            },
        ),
        ("deviation.delta=0.4", {"score", "score_ipr", "decide"}),
        ("training.steps=4", {"train", "train_base", "prefer"}),
        ("training.method=eto", {"pair", "train", "train_base", "prefer"}),
        ("exploration.temperature=0.5", {"sample"}),
        ("exploration.samples=3", set()),
        ("datasets.lam=0.25", {"assemble"}),
        ("calibration.replan=false", {"calibrate"}),
        ("execution.batch_tasks=3", set()),
    ],
)
def test_a_changed_cache_input_is_noticed(override: str, touched: set[str], tmp_path: Path) -> None:
    before = known()["portable"]["keys"]
    after = keys(tiny(tmp_path, override))
    assert {name for name in before if after[name] != before[name]} == touched


def test_another_checkpoint_or_version_is_another_key(tmp_path: Path) -> None:
    resources, before = RunResources(tiny(tmp_path)), known()["portable"]["keys"]
    for task in BATCH_TASKS:
        assert key_of(task, resources) == before[task.name]
        assert key_of(task, resources, "c0ffef") != before[task.name]
        assert key_of(replace(task, version=task.version + "1"), resources) != before[task.name]


def test_the_work_by_hand_is_the_same_twice() -> None:
    assert by_hand() == by_hand() == known()["portable"]["by hand"]
