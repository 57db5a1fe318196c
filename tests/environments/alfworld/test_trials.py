"""An official game's task id covers its content: another file is another task, and a change during a run is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from environments.alfworld.generation.problem import game_texts
from environments.alfworld.generation.world import GeneratedAlfworld
from environments.alfworld.official.trials import trial_folder, with_digest
from environments.alfworld.official.world import RealAlfworld, _held_out
from environments.base import EnvironmentFault, Task
from tests.support.rollouts_toys import complete


def write_game(folder: Path, payload: str, **more: object) -> None:
    domain, problem, grammar = game_texts(payload)
    game = {"pddl_domain": domain, "grammar": grammar, "pddl_problem": problem, "solvable": True, **more}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "game.tw-pddl").write_text(json.dumps(game))


@pytest.fixture
def drawn() -> list[Task]:
    return GeneratedAlfworld({"receptacles": 6, "objects": 4}).tasks("train", 2, 0)


@pytest.fixture
def games(tmp_path: Path, drawn: list[Task]) -> Path:
    """One train game in the official layout."""
    paths = (f"json_2.1.1/train/{drawn[0].task_type}-A-None-B-1/trial_{n}" for n in range(99))
    write_game(tmp_path / next(path for path in paths if not _held_out(path)), drawn[0].payload)
    return tmp_path


def only(games: Path) -> Task:
    return RealAlfworld({"data": str(games)}).tasks("train", 1, 0)[0]


def folder_of(games: Path) -> Path:
    return next(games.glob("json_2.1.1/train/*/*"))


def test_the_content_of_a_game_is_in_its_tasks_id(games: Path, drawn: list[Task]) -> None:
    first = only(games)
    assert first == only(games)
    assert first.task_id == f"alfworld/{first.payload}"
    path, _, digest = first.payload.partition("#")
    assert games / path == folder_of(games)
    assert len(digest) == 16
    write_game(folder_of(games), drawn[1].payload)
    assert only(games).task_id.partition("#")[0] == first.task_id.partition("#")[0]
    assert only(games).task_id != first.task_id


def test_the_recorded_run_counts_too(games: Path) -> None:
    before = only(games)
    (folder_of(games) / "gt_traj.json").write_text('[{"from": "human", "value": "You are in a room."}]')
    assert only(games).task_id != before.task_id


def test_what_the_world_does_not_read_does_not_count(games: Path) -> None:
    before = only(games)
    (folder_of(games) / "traj_data.json").write_text("{}")
    assert only(games) == before


def test_a_game_that_changed_since_its_task_was_listed_is_refused(games: Path, drawn: list[Task]) -> None:
    task, world = only(games), RealAlfworld({"data": str(games)})
    assert world.environment().reset(task)
    write_game(folder_of(games), drawn[1].payload)
    trial_folder.cache_clear()  # as in another process
    from environments.alfworld.environment import compiled_game

    compiled_game.cache_clear()
    for use in (world.environment().reset, world.demonstration):
        with pytest.raises(
            EnvironmentFault, match=r"the game has changed since the task was listed .*restore the old"
        ):
            use(task)


def test_tasks_of_0_3_0_have_no_digest_and_are_found(games: Path) -> None:
    path = only(games).payload.partition("#")[0]
    assert trial_folder(games, path) == games / path
    assert with_digest(games, path).startswith(f"{path}#")


def test_the_vocabulary_has_a_digest_where_it_is_read_from_files(games: Path) -> None:
    world = RealAlfworld({"data": str(games)})
    before = world.data_digest()
    assert before == RealAlfworld({"data": str(games)}).data_digest() != ""
    assert complete(GeneratedAlfworld({})).data_digest() == ""
