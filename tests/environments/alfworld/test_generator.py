"""The generator: distinct, balanced, deterministic games; splits that share nothing; files that an engine can parse."""

import json
from collections import Counter

import pytest

from environments.alfworld.catalog import CAN_CONTAIN, LAMPS, OPENABLE, PLACES, ROOM_OBJECTS, ROOMS
from environments.alfworld.engine.game import compile_game
from environments.alfworld.generation import world as generator
from environments.alfworld.generation.drawing import TASK_TYPES, layouts
from environments.alfworld.generation.problem import game_texts, problem_pddl, read_payload
from environments.alfworld.generation.world import GeneratedAlfworld
from environments.alfworld.official.reader import read_game
from environments.base import EnvironmentFault, Task
from environments.capabilities import Recorded
from steca.types import Step
from tests.support.official_layout import export_game

SPLITS = ("train", "validation", "seen", "unseen")


@pytest.fixture(scope="module")
def world() -> GeneratedAlfworld:
    return GeneratedAlfworld({})


def content(task: Task) -> str:
    """The content of a game without its ids: the goal, and what lies together on which type of place."""
    game = read_payload(task.payload)
    shelves: list[list[str]] = [[] for _ in game["places"]]
    for thing, *_, at in game["objects"]:
        shelves[at].append(thing)
    filled = sorted([place[0], sorted(shelf)] for place, shelf in zip(game["places"], shelves, strict=True))
    return json.dumps([game["type"], game["goal"], filled])


def layout(task: Task) -> tuple[str, ...]:
    return tuple(sorted(place[0] for place in read_payload(task.payload)["places"]))


def test_no_game_is_drawn_twice_in_or_across_splits_and_seeds(world: GeneratedAlfworld) -> None:
    drawn = {split: world.tasks(split, 400, seed=1) for split in SPLITS}
    contents = [content(task) for tasks in drawn.values() for task in tasks]
    assert len(set(contents)) == len(contents)
    assert len({task.task_id for tasks in drawn.values() for task in tasks}) == len(contents)
    other_seed = {content(task) for task in world.tasks("train", 400, seed=2)}
    for split in ("validation", "seen", "unseen"):
        assert not other_seed & {content(task) for task in drawn[split]}
    assert content(drawn["train"][0]) in contents  # the comparison can find an equal game


def test_a_larger_count_extends_a_smaller_one_and_seeds_differ(world: GeneratedAlfworld) -> None:
    assert world.tasks("seen", 90, seed=4)[:30] == GeneratedAlfworld({}).tasks("seen", 30, seed=4)
    assert world.tasks("seen", 30, seed=4) != world.tasks("seen", 30, seed=5)
    assert world.tasks("seen", 30, seed=4) != world.tasks("validation", 30, seed=4)


@pytest.mark.parametrize("split", SPLITS)
def test_task_types_are_balanced(world: GeneratedAlfworld, split: str) -> None:
    counts = Counter(task.task_type for task in world.tasks(split, 60, seed=0))
    assert counts == dict.fromkeys(TASK_TYPES, 10)


def test_unseen_has_layouts_and_goal_pairs_of_its_own(world: GeneratedAlfworld) -> None:
    known = [task for split in SPLITS[:3] for task in world.tasks(split, 600, seed=0)]
    unseen = world.tasks("unseen", 600, seed=0)
    assert not {layout(task) for task in known} & {layout(task) for task in unseen}
    pairs = [{tuple(read_payload(task.payload)["goal"]) for task in tasks} for tasks in (known, unseen)]
    assert not pairs[0] & pairs[1]
    assert {thing for thing, _ in pairs[1]} <= {
        thing for thing, _ in pairs[0]
    }  # no goal object is wholly new
    assert {layout(task) for task in world.tasks("seen", 600, seed=0)} <= {
        found.receptacles for found in layouts(8, unseen=False)
    }


def test_games_have_the_sizes_asked_for_and_are_not_won_at_the_start() -> None:
    for receptacles, objects in ((6, 3), (8, 8), (12, 16)):
        world = GeneratedAlfworld({"receptacles": receptacles, "objects": objects})
        for task in world.tasks("train", 30, seed=0):
            game = compile_game(*game_texts(task.payload))
            assert len(game.receptacle_types) == receptacles
            assert len(game.object_types) == objects
            assert not game.won(game.initial)
            assert game.progress(game.initial) < 1


def test_every_object_can_be_put_down_somewhere(world: GeneratedAlfworld) -> None:
    for task in world.tasks("train", 300, seed=0) + world.tasks("unseen", 300, seed=0):
        game = read_payload(task.payload)
        places = {place[0] for place in game["places"]}
        for thing in {entry[0] for entry in game["objects"]} - LAMPS:
            assert any(thing in CAN_CONTAIN[place] for place in places), (thing, places)


def test_payload_is_the_whole_game(world: GeneratedAlfworld) -> None:
    task = world.tasks("train", 1, seed=0)[0]
    assert problem_pddl(task.payload) == problem_pddl(json.dumps(json.loads(task.payload)))
    game = compile_game(*game_texts(task.payload))
    assert game.instruction == task.instruction.rstrip(".")
    assert f"Your task is to: {task.instruction}" in game.intro()


@pytest.mark.parametrize(
    "payload",
    [
        "{",
        "[]",
        '{"type": "look_at_obj_in_light"}',
        '{"type":1,"goal":[],"task":"","places":[[]],"objects":[]}',
    ],
)
def test_a_broken_payload_is_named(payload: str) -> None:
    with pytest.raises(EnvironmentFault, match="payload"):
        problem_pddl(payload)


def test_an_exported_game_is_an_official_one(world: GeneratedAlfworld, tmp_path) -> None:
    for task in world.tasks("unseen", 6, seed=0):
        file = export_game(task, tmp_path / task.task_id)
        written, drawn = read_game(file).compile(), compile_game(*game_texts(task.payload))
        assert written.intro() == drawn.intro()
        assert written.commands(written.initial) == drawn.commands(drawn.initial)
        trial = json.loads((file.parent / "traj_data.json").read_text())
        assert trial["task_type"] == task.task_type
        assert trial["pddl_params"]["object_target"] == read_payload(task.payload)["goal"][0]


def test_export_to_an_impossible_place_is_refused(world: GeneratedAlfworld, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="generated-train"):
        export_game(world.tasks("train", 1, seed=0)[0], tmp_path / "file" / "folder")


@pytest.mark.parametrize(
    "options",
    [
        {"rooms": 3},
        {"receptacles": 5},
        {"receptacles": 13},
        {"objects": 2},
        {"objects": "8"},
        {"objects": True},
    ],
)
def test_impossible_options_are_refused(options: dict) -> None:
    with pytest.raises(EnvironmentFault, match=next(iter(options))):
        GeneratedAlfworld(options)


def test_running_out_of_games_is_an_error_not_a_repetition(world: GeneratedAlfworld, monkeypatch) -> None:
    monkeypatch.setattr(generator, "split_of", lambda digest: "train")  # as if every game belonged there
    with pytest.raises(EnvironmentFault, match="no new pick_and_place_simple game for seen"):
        world.tasks("seen", 1, seed=0)


def test_vocabulary_holds_every_entity_that_is_shown() -> None:
    world = GeneratedAlfworld({"receptacles": 12, "objects": 16})
    known = world.vocabulary()
    assert len(set(known)) == len(known)
    for task in world.tasks("unseen", 60, seed=0):
        names = set(compile_game(*game_texts(task.payload)).names.values())
        assert {
            name for name in names if name[-1].isdigit() and " " in name and not name.startswith("loc")
        } <= {*known}


def test_the_registry_makes_the_world_and_its_games_can_be_played() -> None:
    world = GeneratedAlfworld({"receptacles": 7})
    task = world.tasks("validation", 1, seed=0)[0]
    environment = world.environment()
    first = environment.reset(task)
    turn = environment.expert_turn(first, [])
    assert turn is not None
    assert environment.step(turn.action).valid
    assert not isinstance(world, Recorded)
    step = Step("", "", "go to moon 1", "Nothing happens.", False, "policy")
    assert "nothing happened" in world.reflect(task.instruction, first, [step], turn.action)


def test_tables_agree_with_each_other() -> None:
    receptacles = set(CAN_CONTAIN)
    assert receptacles >= OPENABLE
    for thing, places in PLACES.items():
        assert set(places) <= receptacles, thing
        assert len(set(places)) == len(places), thing
    for room, (fixed, optional) in ROOMS.items():
        assert {*fixed, *optional} <= receptacles
        assert set(ROOM_OBJECTS[room]) <= set(PLACES) - LAMPS
