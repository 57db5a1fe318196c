"""A person decides before a stage begins. Slow, because a paused run looks every five seconds: `make ui`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows.runs.run import run_id
from storage.runs import RunFolder, StageState
from tests.support.prefect_api import FINAL, Api
from tests.support.tiny_factory import Served, tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WAITING = (*FINAL, "PAUSED")


@pytest.fixture
def api(served: Served) -> Api:
    return Api(served.api)


def states(root: Path, *changes: str) -> dict[str, StageState]:
    return {state.stage: state for state in RunFolder(root, run_id(tiny(root, *changes))).stages()}


def pause(api: Api, run: str) -> None:
    """Wait until it is paused. It is running for a moment after it was resumed."""
    assert api.wait(run, states=WAITING)["state_type"] == "PAUSED"


def test_a_person_sees_the_evidence_raises_the_budget_and_goes_on(api: Api, tmp_path: Path) -> None:
    root = tmp_path / "data"
    run = api.start("tiny", data_dir=str(root), budget_rollouts=6, approve=["rewards", "calibrate"])
    pause(api, run)
    assert set(states(root)) == {"demonstrate", "warmup", "explore"}
    text = api.shown_in_the_form(run, "rewards-1-1")
    assert "Forecast: at most 14 candidates, about 84 rollouts" in text

    other = api.start("tiny", data_dir=str(root), seed=1)
    assert api.wait(other)["state_type"] == "COMPLETED", "another run has its turn meanwhile"

    api.resume(run, decision="go on")
    pause(api, run)
    assert states(root)["rewards"].stopped == "budget.rollouts = 6 is spent"
    text = api.shown_in_the_form(run, "calibrate-1-1")
    assert "**The stage rewards ended early: budget.rollouts = 6 is spent.**" in text
    assert "| undecided | too few rollouts |" in text

    api.resume(run, decision="go on", budget_rollouts=500)
    pause(api, run)
    assert states(root)["rewards"].stopped is None
    text = api.shown_in_the_form(run, "calibrate-1-2")
    assert "- **deviated**, step " in text
    assert re.search(
        r"; mean success \d\.\d\d over 2 rollouts, before it \d\.\d\d over 2 rollouts; gap ", text
    )
    assert "filtered: not judged, for the reason beside it." in text

    api.resume(run, decision="go on")
    assert api.wait(run)["state_type"] == "COMPLETED"
    assert {state.status for state in states(root).values()} == {"completed"}


def test_a_person_ends_the_run_and_a_retry_asks_again(api: Api, tmp_path: Path) -> None:
    root = tmp_path / "data"
    run = api.start("tiny", data_dir=str(root), approve=["calibrate"])
    pause(api, run)
    api.resume(run, decision="abort")
    ended = api.wait(run)
    assert ended["state_type"] == "CANCELLED"
    assert ended["state"]["message"].startswith("a person ended the run before stage calibrate")
    assert set(states(root)) == {"demonstrate", "warmup", "explore", "rewards"}

    api.retry(run)
    pause(api, run)
    api.resume(run, decision="go on")
    assert api.wait(run)["state_type"] == "COMPLETED"
