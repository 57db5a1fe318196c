"""Scheduling through a real Prefect server, as the UI does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.schema import FactoryConfig
from configs.stages import STAGES
from flows.deployments.offered import offers
from flows.runs.lock import hold
from flows.runs.run import run_id
from steca.deviation import PRESETS
from storage.runs import RunFolder
from storage.store import Store
from tests.support.prefect_api import Api
from tests.support.tiny_factory import ROOT, Served, tiny


@pytest.fixture(scope="module")
def api(served: Served) -> Api:
    return Api(served.api)


FEW = {"demonstrations": 4, "exploration": 4}
"""Fields of the form, for runs of which it does not matter how much they play."""


def few(data_dir: Path, *overrides: str) -> FactoryConfig:
    """The configuration of a run with these fields."""
    return tiny(data_dir, *(f"tasks.{name}={value}" for name, value in FEW.items()), *overrides)


def test_every_configuration_and_every_stage_is_offered_with_a_form(api: Api, served: Served) -> None:
    offered = api.deployments()
    assert set(offered) == {"tiny", *(f"rerun-{stage}" for stage in STAGES), "compare"}
    form = offered["tiny"]["parameter_openapi_schema"]["properties"]
    assert len(form) <= 18, "a form of two screens"
    assert set(form["preset"]["enum"]) == set(PRESETS)
    assert "first deviation only" in form["preset"]["description"]
    assert form["threshold"]["maximum"] == 1
    assert offered["tiny"]["parameters"] == {
        "config": str(served.data_dir / "configs" / "tiny.yaml"), "data_dir": str(served.data_dir),
        "seed": 0, "rounds": 1, "demonstrations": 8, "exploration": 8, "seen": 2, "unseen": 2,
        "preset": "paper", "threshold": 0.5, "mode": "fixed",
    }  # fmt: skip
    asked = offered["rerun-rewards"]["parameter_openapi_schema"]["properties"]
    assert list(asked)[:4] == ["run", "round", "force", "following"]
    assert offered["rerun-rewards"]["parameters"] == {"run": "newest", "data_dir": str(served.data_dir)}
    assert "round" not in offered["rerun-warmup"]["parameter_openapi_schema"]["properties"]
    asked = offered["compare"]["parameter_openapi_schema"]["properties"]
    assert set(asked) == {"file", "arms", "seeds", "data_dir"}
    assert asked["file"]["enum"] == [str(served.data_dir / "configs" / "compare" / "pair.yaml")]


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("tiny", {"thershold": 0.1}, "thershold"),
        ("rerun-rewards", {"threshold": 0.1}, "threshold"),
        ("rerun-warmup", {"round": 1}, "round"),
        ("tiny", {"threshold": 2}, "maximum of 1"),
        ("tiny", {"changes": ["rewards.rollouts"]}, "changes[0]"),
        ("tiny", {"preset": "sequential", "mode": "curtailed"}, "'curtailed' is not one of ['fixed', 'sequential']"),
        ("tiny", {"mode": "sequential"}, "'sequential' is not one of ['fixed', 'curtailed']"),
        ("rerun-rewards", {"run": "nobody-knows-it"}, "nobody-knows-it"),
    ],
)  # fmt: skip
def test_what_a_form_cannot_take_is_refused_before_there_is_a_run(
    api: Api, name: str, given: dict[str, Any], said: str
) -> None:
    answer = api.refused(name, **given)
    assert answer.status_code == 409
    assert said in answer.json()["detail"]


def test_a_comparison_is_run(api: Api, copied: FactoryConfig) -> None:
    """One arm and one seed of two, on what the finished run has."""
    file, root = api.deployments()["compare"]["parameters"]["file"], copied.data_dir
    done = api.wait(api.start("compare", file=file, arms=["SFT"], seeds=[0], data_dir=str(root)))
    assert done["state_type"] == "COMPLETED", done["state"]["message"]
    assert done["name"] == "compare · pair"
    query = "SELECT DISTINCT arm, seed FROM comparison_episodes WHERE comparison = 'pair' ORDER BY arm"
    assert Store(root).query(query)[1] == [("SFT", 0), ("warm-up", 0)]


def test_what_only_the_configuration_knows_is_refused_with_its_own_message(api: Api, tmp_path: Path) -> None:
    run = api.start("tiny", data_dir=str(tmp_path / "data"), changes=["rewards.rollots=3"])
    failed = api.wait(run)
    assert failed["state_type"] == "FAILED"
    assert "unknown field rewards.rollots; did you mean rewards.rollouts?" in failed["state"]["message"]
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_a_failed_run_is_retried_and_its_finished_batches_come_from_the_cache(
    api: Api, tmp_path: Path
) -> None:
    config = few(tmp_path / "data")
    obstacle = config.data_dir / "checkpoints"
    config.data_dir.mkdir()
    obstacle.write_text("in the way of the checkpoints\n")
    run = api.start("tiny", "my own name", data_dir=str(config.data_dir), **FEW)
    failed = api.wait(run)
    assert failed["state_type"] == "FAILED"
    assert "cannot write a checkpoint" in failed["state"]["message"]
    folder = RunFolder(config.data_dir, run_id(config))
    before = {state.stage: state for state in folder.stages()}
    assert {stage: state.status for stage, state in before.items()} == {
        "demonstrate": "completed", "warmup": "failed",
    }  # fmt: skip

    obstacle.unlink()
    api.retry(run)
    completed = api.wait(run)
    assert completed["state_type"] == "COMPLETED"
    assert completed["name"] == "my own name"
    after = {state.stage: state for state in folder.stages()}
    assert {stage: state.status for stage, state in after.items()} == dict.fromkeys(STAGES, "completed")
    assert after["demonstrate"].cached_batches == len(after["demonstrate"].batches)
    assert after["demonstrate"].batches == before["demonstrate"].batches
    _, rows = Store(config.data_dir).query("SELECT run_id, evaluations > 0, rollouts > 0 FROM run_summary")
    assert rows == [(run_id(config), True, True)]


def test_a_changed_threshold_makes_a_run_that_shares_everything_before(
    api: Api, copied: FactoryConfig
) -> None:
    run, root = run_id(copied), str(copied.data_dir)
    done = api.wait(
        api.start(
            "rerun-rewards", run="newest", changes=["deviation.delta=-0.5"], following=True, data_dir=root
        )
    )
    assert done["state_type"] == "COMPLETED", done["state"]
    derived = run_id(tiny(copied.data_dir, "deviation.delta=-0.5"))
    assert done["name"] == f"rewards r1 · {derived}"
    states = {state.stage: state for state in RunFolder(copied.data_dir, derived).stages()}
    assert {stage: state.status for stage, state in states.items()} == dict.fromkeys(STAGES, "completed")
    assert all(
        states[stage].cached_batches == len(states[stage].batches)
        for stage in ("demonstrate", "warmup", "explore")
    )
    known = {state.stage: state for state in RunFolder(copied.data_dir, run).stages()}
    assert states["explore"].batches == known["explore"].batches
    assert states["rewards"].batches != known["rewards"].batches
    assert api.post("/task_runs/filter", task_runs={"name": {"any_": ["decide 8/8"]}})


@pytest.mark.slow
def test_runs_in_one_folder_wait_in_order_and_next_gives_another_seed(api: Api, tmp_path: Path) -> None:
    root, runs = tmp_path / "data", list[str]()
    with hold(root / "locks" / "deployments.lock", "here", print, holder="a test"):
        for _ in range(2):
            runs.append(api.start("tiny", data_dir=str(root), seed="next", **FEW))
            state = api.wait_for(runs[-1], "Waiting")
            assert state["message"].startswith("a test (process ")
        runs.append(api.start("rerun-evaluate", data_dir=str(root)))
        api.wait_for(runs[-1], "Waiting")
        assert [api.run(run)["name"] for run in runs] == [
            *2 * ["tiny · seed next …"],
            "evaluate r1 · newest …",
        ]
    ended = [api.wait(run) for run in runs]
    assert [run["state_type"] for run in ended] == ["COMPLETED"] * 3
    assert [run["labels"].get("steca.seed") for run in ended] == [0, 1, None]
    ids = [run_id(few(root, f"seed={seed}")) for seed in (0, 1)]
    assert [run["name"] for run in ended] == [*ids, f"evaluate r1 · {ids[1]}"]


def test_prefect_yaml_offers_the_same() -> None:
    import yaml
    from prefect.flows import load_flow_from_entrypoint

    described = {
        one["name"]: one for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    }
    offered = {offer.name: offer for offer in offers(ROOT / "data")[0]}
    assert described.keys() == offered.keys()
    for name, one in described.items():
        flow = load_flow_from_entrypoint(str(ROOT / one["entrypoint"]))
        assert flow.name == offered[name].flow.name
        given = one.get("parameters", {})
        assert given.keys() <= set(flow.parameters.properties)
        if "config" in given:
            assert ROOT / given["config"] == Path(offered[name].defaults["config"])
