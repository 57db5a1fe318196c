"""The tutorial as a reader follows it: a world outside of the project, through every process that needs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # `make own-world`
SMALL = {
    "tasks.demonstrations": 60,
    "tasks.exploration": 40,
    "tasks.seen": 6,
    "tasks.unseen": 6,
    "warmup.steps": 120,
    "training.steps": 10,
    "execution.threads": 1,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder outside of the project, with the world that the tutorial makes."""
    said = steca(tmp_path, "world", "new", "parcel")
    assert "wrote parcel.py and parcel.yaml" in said
    return tmp_path


def steca(folder: Path, *words: str, fails: bool = False) -> str:
    """What a command says, in a process of its own that starts in the folder."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("steca")), *words],
        cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, said
    assert "Traceback" not in said
    return said


def run(folder: Path, config: str = "parcel.yaml", **more: Any) -> str:
    settings = {**SMALL, **more}
    return steca(
        folder, "run", "--config", config, *(w for s, v in settings.items() for w in ("--set", f"{s}={v}"))
    )


def rows(folder: Path, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(steca(folder, "sql", query, "--format", "json"))
    return found


def test_the_tutorial_ends_with_a_calibrated_data_set(folder: Path) -> None:
    assert "no fault" in steca(folder, "world", "check", "parcel:World")
    said = run(folder)
    assert "world parcel:World has no snapshots" in said
    [kept] = rows(folder, "SELECT count(*) AS n FROM calibrations WHERE kept")
    assert kept["n"] >= 1
    sets = {row["dataset"] for row in rows(folder, "SELECT DISTINCT dataset FROM training_examples")}
    assert {"calibrated", "expert"} <= sets
    [one] = rows(folder, "SELECT reflection FROM calibrations WHERE kept ORDER BY calibration_id LIMIT 1")
    assert re.fullmatch(r"I did '.*' and was told: .* so now I do '.*'\.", one["reflection"])
    [task] = rows(folder, "SELECT DISTINCT world FROM tasks")
    assert task == {"world": "parcel:World"}
    again = steca(folder, "stage", "calibrate", "--run", "parcel", "--force")
    assert "0 of 1 batches from the cache" in again


def test_a_changed_world_takes_nothing_from_the_cache(folder: Path) -> None:
    few = {
        "tasks.demonstrations": 4,
        "tasks.exploration": 2,
        "warmup.steps": 2,
        "tasks.seen": 2,
        "tasks.unseen": 2,
    }
    run(folder, **few)
    assert "demonstrate: done" in (said := run(folder, **few)) or "cache" in said
    assert all(int(found) for found in re.findall(r"([0-9]+) of [0-9]+ batches from the cache", said))
    file = folder / "parcel.py"
    file.write_text(
        file.read_text()
        .replace("You take the parcel.", "You take the heavy parcel.")
        .replace('"1"  #', '"2"  #')
    )
    said = run(folder, **few)
    assert re.findall(r"demonstrate: .* ([0-9]+) of", said) == ["0"]
    texts = {row["observation"] for row in rows(folder, "SELECT DISTINCT observation FROM steps")}
    assert {"You take the parcel.", "You take the heavy parcel."} <= texts


BARE = """
from environments.base import StepResult
from parcel import House, World as Whole


class World:
    tasks = Whole.tasks

    def environment(self):
        return Bare()


class Bare:
    def reset(self, task, seed):
        self.house = House()
        return self.house.reset(task, seed)

    def step(self, action):
        return self.house.step(action)
"""
RECORD = """
import json, sys
sys.path.insert(0, "")
from parcel import World
from steca.types import Step

world = World()
for task in world.tasks("train", 100, 0)[::2]:
    house, steps, talk = world.environment(), [], []
    first = house.reset(task, 0)
    while turn := house.expert_turn(first, steps):
        result = house.step(turn.action)
        steps.append(Step("", turn.thought, turn.action, result.observation, result.valid, "expert"))
        said = f"Thought: {turn.thought}\\nAction: {turn.action}"
        talk += [{"from": "gpt", "value": said}, {"from": "human", "value": result.observation}]
        if result.done:
            break
    print(json.dumps({"id": task.task_id, "conversations": [{"from": "human", "value": first}, *talk]}))
print("not a run")
"""


def test_reset_and_step_with_runs_recorded_elsewhere_are_enough(folder: Path) -> None:
    (folder / "bare.py").write_text(BARE)
    recorded = subprocess.run(
        [sys.executable, "-c", RECORD], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (folder / "runs.jsonl").write_text(recorded)
    named = {"environment.name": "bare:World", "environment.demonstrations": "runs.jsonl"}
    said = run(folder, **named)
    assert "runs.jsonl: 1 lines set aside: line 51 is not JSON" in said
    assert "50 of 100 training tasks have an expert run that succeeded; of the others, 50 have none" in said
    assert "world bare:World has no expert" in said
    [kept] = rows(folder, "SELECT count(*) AS n FROM calibrations WHERE kept")
    assert kept["n"] >= 1
    refused = steca(
        folder, "run", "--config", "parcel.yaml", "--set", "environment.name=bare:World", fails=True
    )
    *_, line = refused.strip().splitlines()
    assert line.startswith(
        "error: world bare:World has no demonstrations: give its environments expert_turn("
    )
    assert "demonstrate" not in refused.replace(line, "")
