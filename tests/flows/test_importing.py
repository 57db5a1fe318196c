"""docs/importing.md as a reader follows it: from a colleague's file to a calibrated run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from environments.template.world import World
from steca.types import Step
from tests.flows.test_own_world import SMALL, folder, rows, steca
from tests.support.imported_runs import ETO_BEGINS, Row
from tests.support.imported_runs import lines as written
from tests.support.pages import ROOT, commands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # `make own-world`
__all__ = ["folder"]  # the fixture


def eto(number: int, task: object) -> Row:
    """The expert's run of a task, with thoughts of the colleague's own, as ETO writes it."""
    house, steps = World().environment(), list[Step]()
    first = house.reset(task, 0)  # type: ignore[arg-type]
    talk = [*ETO_BEGINS, {"from": "human", "value": first}]
    while turn := house.expert_turn(first, steps):
        result = house.step(turn.action)
        steps.append(Step("", turn.thought, turn.action, result.observation, result.valid, "expert"))
        talk.append({"from": "gpt", "value": f"Thought: {turn.thought} So I go on.\nAction: {turn.action}"})
        talk.append({"from": "human", "value": f"Observation: {result.observation}"})
        if result.done:
            break
    return {"id": f"parcel_{number}", "conversations": talk}


def test_a_colleagues_file_becomes_a_calibrated_run(folder: Path) -> None:
    runs = [eto(number, task) for number, task in enumerate(World().tasks("train", 100, 0))]
    broken = [json.dumps(runs[3])[:200], {"text": "hello"}, "\0"]
    written(folder / "colleague.json", [*runs[:50], *broken, *runs[50:]])
    [command] = [
        words for words in commands((ROOT / "docs/importing.md").read_text()) if words[0] == "import"
    ]
    small = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    said = steca(folder, *command, *small)
    assert re.search(r"kept +│ 100 ", said)
    assert "line 51: is not JSON" in said
    assert "60 of 60 in demonstrations; 40 of 40 in exploration" in said
    assert [json.loads(line)["line"] for line in (folder / "runs.jsonl.set-aside.jsonl").open()] == [
        51,
        52,
        53,
    ]
    program, *following = shlex.split(said.strip().splitlines()[-1])
    assert program == "steca"
    steca(folder, *following)
    [kept] = rows(folder, "SELECT count(*) AS n FROM calibrations WHERE kept")
    assert kept["n"] >= 1
    expert = "SELECT trajectory_id FROM trajectories JOIN tasks USING (task_id) WHERE kind = 'expert' "
    expert += "AND split = 'train'"
    own = "SELECT count(*) AS n FROM steps WHERE origin = 'expert' AND thought NOT LIKE '%So I go on.'"
    [played] = rows(folder, f"{own} AND trajectory_id IN ({expert})")
    assert played["n"] == 0  # every demonstration is the colleague's, none the world's own
