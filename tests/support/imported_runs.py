"""Runs of the template's world in the shapes of other tools, and what an import makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.environment import EnvironmentConfig
from environments.complete import CompleteWorld
from environments.template.world import World
from formats.importing.importing import Imported, import_runs
from formats.importing.matching import Matcher
from formats.importing.written import WrittenRuns, set_aside_path
from rollouts.play import EpisodeSettings
from tests.support.own_worlds import completed, expert_actions

Row = dict[str, Any]
TASKS = World().tasks("train", 12, 0)
HELD_OUT = World().tasks("seen", 2, 0)
SETTINGS = EpisodeSettings(EnvironmentConfig(name="own"))
ETO_BEGINS = [
    {"from": "human", "value": "Bring parcels. Write Thought: and Action:, one of each."},
    {"from": "gpt", "value": "OK"},
]


def played(task: Any) -> tuple[str, list[tuple[str, str, str]]]:
    """The first observation, and thought, action and answer of each turn of the expert."""
    house = World().environment()
    first = house.reset(task, 0)
    actions = expert_actions(task)
    return first, [(f"Turn {n}.", action, house.step(action).observation) for n, action in enumerate(actions)]


def sharegpt(task: Any, said: str = "Thought: {}\nAction: {}", answer: str = "{}", **more: Any) -> Row:
    """As ETO writes it; `said` and `answer` are the forms of turns and observations."""
    first, turns = played(task)
    talk = [*ETO_BEGINS, {"from": "human", "value": answer.format(first)}]
    for thought, action, observation in turns:
        talk.append({"from": "gpt", "value": said.format(thought, action)})
        talk.append({"from": "human", "value": answer.format(observation)})
    return {"conversations": talk, **more}


def openai(task: Any, **more: Any) -> Row:
    """With calls of the tool `act`, and the task's id."""
    first, turns = played(task)
    talk: list[Row] = [{"role": "system", "content": "Bring parcels."}, {"role": "user", "content": first}]
    for number, (thought, action, observation) in enumerate(turns):
        function = {"name": "act", "arguments": json.dumps({"command": action})}
        call = {"id": f"c{number}", "type": "function", "function": function}
        talk.append({"role": "assistant", "content": thought, "tool_calls": [call]})
        talk.append({"role": "tool", "tool_call_id": f"c{number}", "content": observation})
    return {"task_id": task.task_id, "messages": talk, **more}


def lines(path: Path, rows: Iterable[Any]) -> Path:
    """A file of one row a line; text and bytes stand for themselves."""
    texts = (row if isinstance(row, bytes | str) else json.dumps(row) for row in rows)
    path.write_bytes(b"\n".join(text if isinstance(text, bytes) else text.encode() for text in texts))
    return path


def imported(
    files: Sequence[Path] | Path, out: Path, own: Any = None, shape: str = "", **environment: Any
) -> Imported:
    """Import for the first twelve training tasks and two held-out ones."""
    world = completed(own or World(), **environment)
    parts = {"demonstrations": TASKS[:8], "exploration": TASKS[8:], "seen": HELD_OUT}
    settings = EpisodeSettings(EnvironmentConfig(name="own", **environment))
    return imported_into(world, parts, files, out, shape, settings)


def imported_into(
    world: CompleteWorld,
    parts: Mapping[str, Any],
    files: Sequence[Path] | Path,
    out: Path,
    shape: str = "",
    settings: EpisodeSettings = SETTINGS,
) -> Imported:
    matcher = Matcher(world, parts, ("demonstrations", "exploration"))
    with WrittenRuns(out) as written:
        return import_runs(
            [files] if isinstance(files, Path) else files, world, matcher, settings, written, shape
        )


def kept(out: Path) -> list[Row]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def set_aside(out: Path) -> list[Row]:
    return kept(set_aside_path(out))
