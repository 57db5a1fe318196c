"""The checks of a world whose expert runs were recorded elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from environments.template.world import World
from rollouts.play import EpisodeSettings
from rollouts.world_check.check import check_world
from rollouts.world_check.finding import Finding
from tests.support.own_worlds import Bare, completed
from tests.support.rollouts_toys import config

SETTINGS = EpisodeSettings(config().environment)
TURNS = ("enter hall", "enter office", "enter attic", "enter studio")


def recorded(file: Path, ids: list[str]) -> Path:
    said = [{"from": "gpt", "value": f"Thought: So.\nAction: {action}"} for action in TURNS]
    file.write_text("\n".join([*(json.dumps({"id": one, "conversations": said}) for one in ids), "{"]))
    return file


def findings(**environment: Any) -> dict[str, Finding]:
    return {found.check: found for found in check_world(completed(Bare(), **environment), SETTINGS, 4)}


def test_runs_of_no_task_are_told_with_an_id_of_each_and_played_all_the_same(tmp_path: Path) -> None:
    found = findings(demonstrations=recorded(tmp_path / "runs.jsonl", ["maze-1", "maze-2"]))
    assert found["recorded runs"].state == "note"
    assert found["recorded runs"].found.startswith("2 can be used; ")
    assert "1 lines set aside: line 3 is not JSON" in found["recorded runs"].found
    expert = found["expert"]
    assert expert.state == "fault"
    assert expert.found.startswith("0 of 4 won; 4: have none: 2 recorded runs were read from ")
    assert f"a run has 'maze-1', a task {World().tasks('train', 1, 0)[0].task_id!r}" in expert.found
    assert found["same answers again"].found == "4 runs, played twice (4 with recorded turns)"


def test_runs_of_tasks_are_the_experts(tmp_path: Path) -> None:
    first, other, *_ = World().tasks("train", 4, 0)
    found = findings(demonstrations=recorded(tmp_path / "runs.jsonl", [first.task_id, other.task_id]))
    assert "have the id" not in found["expert"].found
    said = found["same answers again"].found
    assert said == "4 runs, played twice (2 of the expert, 2 with recorded turns)"


def test_without_recordings_words_are_played_and_nothing_is_said_of_runs() -> None:
    found = findings()
    assert "recorded runs" not in found
    said = found["same answers again"].found
    assert said == "4 runs, played twice (4 with words of the first observation)"
