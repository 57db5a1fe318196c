"""Writes generated games in the folder layout of the official ones."""

from __future__ import annotations

import json
from pathlib import Path

from environments.alfworld.generation.problem import game_texts, read_payload
from environments.alfworld.texts.dialect import Dialect
from environments.base import EnvironmentFault, Task


def export_game(task: Task, folder: Path, dialect: Dialect = "put") -> Path:
    """Write the task as an official game folder; returns the path of its game.tw-pddl. Raises EnvironmentFault."""
    domain, problem, grammar = game_texts(task.payload, dialect)
    game = read_payload(task.payload)
    thing, target = game["goal"]
    lit = game["type"] == "look_at_obj_in_light"
    params = {
        "object_target": thing,
        "parent_target": "" if lit else target,
        "toggle_target": target if lit else "",
        "mrecep_target": "",
        "object_sliced": False,
    }
    trial = {"task_type": game["type"], "pddl_params": params, "scene": {"floor_plan": game["room"]}}
    text = {"pddl_domain": domain, "grammar": grammar, "pddl_problem": problem, "solvable": True}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "traj_data.json").write_text(json.dumps(trial))
        (folder / "game.tw-pddl").write_text(json.dumps(text))
    except OSError as refused:
        raise EnvironmentFault(
            f"cannot write task {task.task_id} to {folder}: {refused.strerror}"
        ) from refused
    return folder / "game.tw-pddl"
