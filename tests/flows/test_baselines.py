"""Every baseline, end to end on the tiny configuration, in one data folder: what is shared, cached and trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from configs.schema import FactoryConfig
from flows.factory import factory
from flows.faults import StageFault
from flows.runs.from_cache import run_from_cache
from flows.runs.run import run_id
from storage.records import CheckpointRecord
from storage.runs import RunFolder, StageState
from storage.shards import ShardStore
from storage.store import Store
from tests.support.tiny_factory import tiny

pytestmark = pytest.mark.slow  # `make baselines`; a few minutes

ONLY_EXPERTS = [f"datasets.{name}=false" for name in ("calibrated", "explored_successes", "expert_suffixes")]
METHODS = {
    "dpo": ["training.method=dpo"],
    "eto": ["training.method=eto", "rounds=2"],
    "ipr": ["training.method=ipr", "training.preferences.preset=release"],
    "step_dpo": ["training.method=step_dpo", "training.preferences.chosen=expert"],
    "rft": ["training.start=base", "exploration.samples=2", "datasets.sampled_successes=true", *ONLY_EXPERTS],
}


@pytest.fixture(scope="module")
def folder(finished: FactoryConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run of STeCa, and after it every baseline."""
    data_dir = tmp_path_factory.mktemp("baselines") / "data"
    shutil.copytree(finished.data_dir, data_dir)
    for overrides in METHODS.values():
        factory(tiny(data_dir, *overrides))
    return data_dir


def states(folder: Path, *overrides: str) -> dict[tuple[str, int], StageState]:
    stages = RunFolder(folder, run_id(tiny(folder, *overrides))).stages()
    return {(state.stage, state.round): state for state in stages}


def training(folder: Path, method: str, round: int = 1) -> tuple[CheckpointRecord, dict[str, Any]]:
    """The row of a training and the manifest of its checkpoint."""
    refs = states(folder, *METHODS[method])["train", round].batches
    rows = [row for ref in refs for row in ShardStore(folder).read(ref, CheckpointRecord)]
    manifest = json.loads((folder / rows[0].path / "manifest.json").read_text())
    return rows[0], manifest


def batches(state: StageState) -> set[str]:
    return {ref.batch_id for ref in state.batches}


@pytest.mark.parametrize("method", METHODS)
def test_every_baseline_is_trained_and_evaluated(folder: Path, method: str) -> None:
    found = states(folder, *METHODS[method])
    assert {state.status for state in found.values()} == {"completed"}
    row, manifest = training(folder, method)
    assert row.steps == 3
    assert any(row.gradient_norms or ())
    assert manifest["base"][:8] == (row.parent or manifest["base"])[:8]
    assert ("preferences" in manifest) == (method != "rft")
    sql = "SELECT count(DISTINCT checkpoint) FROM run_evaluations WHERE run_id = ? AND role = 'trained'"
    run = run_id(tiny(folder, *METHODS[method]))
    assert Store(folder).query(sql, [run])[1] == [(2 if method == "eto" else 1,)]


@pytest.mark.parametrize("method", METHODS)
def test_the_same_settings_take_everything_from_the_cache(folder: Path, method: str) -> None:
    config = tiny(folder, *METHODS[method])
    before = states(folder, *METHODS[method])
    assert run_from_cache(config) == run_id(config)
    assert states(folder, *METHODS[method]) == before


@pytest.mark.parametrize("method", METHODS)
def test_what_was_explored_and_scored_serves_every_method(folder: Path, method: str) -> None:
    steca, own = states(folder), states(folder, *METHODS[method])
    for stage in ("demonstrate", "warmup"):
        assert batches(own[stage, 0]) == batches(steca[stage, 0])
    if method == "rft":  # it trains on no greedy run
        assert {ref.batch_id.split("-")[0] for ref in own["explore", 1].batches} == {"sample"}
    else:
        assert batches(own["explore", 1]) == batches(steca["explore", 1])
        assert own["explore", 1].cached_batches == len(steca["explore", 1].batches)
    if method in ("dpo", "step_dpo"):
        assert batches(own["rewards", 1]) == batches(steca["rewards", 1])
    spent = own["rewards", 1].spent
    assert spent is None or method == "ipr" or spent.rollouts == 0


def test_ipr_pays_for_no_rollout_that_is_there(folder: Path) -> None:
    """Its rollouts of turns that STeCa scored are the same rows."""
    sql = "SELECT rollout_id, step_reward_id FROM run_rollouts WHERE run_id = ?"
    steca, own = (
        dict(Store(folder).query(sql, [run_id(tiny(folder, *overrides))])[1])
        for overrides in ([], METHODS["ipr"])
    )
    shared = set(steca.values()) & set(own.values())
    assert shared
    assert all(own.get(rollout) == turn for rollout, turn in steca.items() if turn in shared)
    spent = states(folder, *METHODS["ipr"])["rewards", 1].spent
    assert spent
    assert spent.rollouts == len(own.keys() - steca.keys())


def test_stages_that_a_method_does_without_are_empty(folder: Path) -> None:
    empty = {
        method: [
            stage
            for (stage, round), state in states(folder, *overrides).items()
            if not state.batches and round < 2
        ]
        for method, overrides in METHODS.items()
    }
    assert empty == {
        "dpo": [],
        "eto": ["rewards", "calibrate"],
        "ipr": ["calibrate"],
        "step_dpo": ["calibrate"],
        "rft": ["rewards", "calibrate"],
    }


def test_eto_renews_its_reference_and_explores_again(folder: Path) -> None:
    (first, one), (second, two) = (training(folder, "eto", round) for round in (1, 2))
    assert (one["reference"], one["preferences"]) == (first.parent, {"beta": 0.1, "sft_weight": 0.0})
    assert (two["reference"], two["preferences"]) == (first.digest, {"beta": 0.5, "sft_weight": 0.0})
    assert second.parent == first.digest
    explored = """SELECT DISTINCT round, checkpoint FROM run_trajectories
                  WHERE run_id = ? AND kind = 'explored' ORDER BY ALL"""
    run = run_id(tiny(folder, *METHODS["eto"]))
    assert Store(folder).query(explored, [run])[1] == [(1, first.parent), (2, first.digest)]


def test_ipr_has_the_likelihood_of_the_chosen_side_and_the_warmup_as_reference(folder: Path) -> None:
    row, manifest = training(folder, "ipr")
    warmup = states(folder)["warmup", 0].checkpoint
    assert (manifest["reference"], manifest["preferences"]) == (warmup, {"beta": 0.1, "sft_weight": 1.0})
    kinds = "SELECT kind, count(*) FROM run_preference_pairs WHERE run_id = ? GROUP BY ALL ORDER BY 1"
    pairs = Store(folder).query(kinds, [run_id(tiny(folder, *METHODS["ipr"]))])[1]
    assert {kind for kind, _ in pairs} == {"outcome", "step"}
    assert sum(n for _, n in pairs) == row.examples


def test_rft_starts_from_the_model_that_the_warmup_started_from(folder: Path) -> None:
    _, manifest = training(folder, "rft")
    warmup = states(folder)["warmup", 0].checkpoint or ""
    first = json.loads((folder / "checkpoints" / warmup[:16] / "manifest.json").read_text())
    assert manifest["base"] == first["base"]
    sampled = "SELECT sample_index, count(*) FROM run_trajectories WHERE run_id = ? AND kind = 'sampled' GROUP BY ALL"
    run = run_id(tiny(folder, *METHODS["rft"]))
    assert sorted(Store(folder).query(sampled, [run])[1]) == [(0, 7), (1, 7)]


def test_more_samples_play_only_the_new_ones(folder: Path) -> None:
    more = [*METHODS["rft"], "exploration.samples=3"]
    factory(tiny(folder, *more))
    before = states(folder, *METHODS["rft"])["explore", 1]
    explore = states(folder, *more)["explore", 1]
    assert batches(explore) > batches(before)
    assert explore.cached_batches == len(before.batches)


def test_no_pair_is_an_error_that_says_what_to_do(folder: Path) -> None:
    """The tiny policy wins no rollout."""
    for _ in range(2):  # the second time, the empty set of pairs comes from the cache
        with pytest.raises(
            StageFault, match=r"step_dpo found no preference pair: [1-9]\d* deviated turns without"
        ):
            factory(tiny(folder, "training.method=step_dpo"))
