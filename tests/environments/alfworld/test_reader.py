"""Official game files: what is read, the splits, and the errors for broken files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from environments.alfworld.generation.world import GeneratedAlfworld
from environments.alfworld.official.reader import data_folder, read_game, read_recording
from environments.alfworld.official.replay import replay, replay_folder
from environments.alfworld.official.world import RealAlfworld
from environments.base import EnvironmentFault, Task
from tests.support.alfworld_toys import PROBLEM, WINNING, grammar, write_game
from tests.support.rollouts_toys import complete

TYPES = ("pick_and_place_simple", "pick_two_obj_and_place", "look_at_obj_in_light")


def path_of(task: Task) -> str:
    """The path of its game in the data folder."""
    return task.payload.partition("#")[0]


def record(folder) -> list[dict[str, str]]:
    """A recording of the winning run, made by playing it."""
    game = read_game(folder).compile()
    state, said = game.initial, [{"from": "human", "value": game.intro()}]
    for action in WINNING:
        state, text = game.apply(state, action)
        text = text.partition(". ")[2] if text.startswith("You arrive") else text
        said += [{"from": "gpt", "value": action}, {"from": "human", "value": text}]
    (folder / "gt_traj.json").write_text(json.dumps(said))
    return said


@pytest.fixture
def data(tmp_path):
    for split, count in (("train", 40), ("valid_seen", 4)):
        for number in range(count):
            folder = (
                tmp_path / "json_2.1.1" / split / f"{TYPES[number % 3]}-Cup-None-Box-{number}" / "trial_1"
            )
            write_game(folder)
            record(folder)
    return tmp_path


def test_a_game_is_read_from_its_file_or_folder(tmp_path):
    file = write_game(tmp_path)
    assert read_game(file) == read_game(tmp_path)
    assert read_game(file).compile().instruction == "fill the box"


def test_broken_files_are_refused_in_one_line_with_file_defect_and_remedy(tmp_path):
    file = write_game(tmp_path)
    whole = file.read_text()
    fields = json.loads(whole)
    broken = {
        "the file may be truncated": whole[: len(whole) // 2],
        "invalid JSON": "hello",
        "lacks the key 'grammar'": json.dumps({k: v for k, v in fields.items() if k != "grammar"}),
        "lacks the key 'pddl_domain'": "[]",
        "must be texts": json.dumps({**fields, "pddl_problem": 3}),
        "unsolvable": json.dumps({**fields, "solvable": False}),
        "truncated": json.dumps({**fields, "pddl_problem": PROBLEM[:200]}),
        "no template": json.dumps({**fields, "grammar": grammar({})}),
    }
    for defect, text in broken.items():
        file.write_text(text)
        with pytest.raises(EnvironmentFault) as fault:
            read_game(file).compile()
        assert str(file) in str(fault.value)
        assert defect in str(fault.value)
        assert "\n" not in str(fault.value)
        assert ";" in str(fault.value)  # what to do follows


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EnvironmentFault, match=r"game\.tw-pddl.*cannot be read"):
        read_game(tmp_path / "game.tw-pddl")


def test_without_data_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)
    with pytest.raises(
        EnvironmentFault, match="ALFWORLD_DATA is not set: pip install alfworld, run alfworld-download"
    ):
        RealAlfworld({})
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    with pytest.raises(EnvironmentFault, match=r"holds no ALFWorld games.*alfworld-download"):
        RealAlfworld({})


def test_the_folder_comes_from_the_option_or_the_variable(data, monkeypatch, tmp_path):
    monkeypatch.setenv("ALFWORLD_DATA", str(data))
    assert data_folder() == data
    assert data_folder(data) == data
    monkeypatch.setenv("HOME", str(data.parent))
    monkeypatch.setenv("ALFWORLD_DATA", f"~/{data.name}")
    assert data_folder() == data_folder(Path("~") / data.name) == data
    assert RealAlfworld({}).tasks("seen", 1, 0)
    assert RealAlfworld({"data": str(data)}).tasks("seen", 1, 0)
    with pytest.raises(EnvironmentFault, match="'colour'"):
        RealAlfworld({"colour": 1})


def test_the_demonstration_is_the_recorded_run_unless_the_expert_explores(data):
    task = RealAlfworld({"data": data}).tasks("train", 1, 0)[0]
    assert RealAlfworld({"data": data, "expert": "recorded"}).demonstration(task)
    assert RealAlfworld({"data": data, "expert": "exploring"}).demonstration(task) is None
    with pytest.raises(EnvironmentFault, match="'planner'; it must be recorded or exploring"):
        RealAlfworld({"data": data, "expert": "planner"})


def test_splits_are_disjoint_and_a_larger_count_extends_a_smaller(data):
    world = RealAlfworld({"data": data})
    validation = world.tasks("validation", 3, seed=0)
    train = world.tasks("train", 30, seed=0)
    assert not {task.task_id for task in validation} & {task.task_id for task in train}
    assert len({task.task_id for task in train}) == 30
    assert world.tasks("train", 7, seed=0) == train[:7]
    assert world.tasks("train", 30, seed=1) != train
    assert {task.split for task in validation} == {"validation"}


def test_tasks_spread_over_the_task_types(data):
    tasks = RealAlfworld({"data": data}).tasks("train", 9, seed=0)
    assert sorted(task.task_type for task in tasks[:3]) == sorted(TYPES)
    assert {task.instruction for task in tasks} == {"fill the box"}
    assert tasks[0].payload.startswith("json_2.1.1/train/")


def test_too_many_tasks_or_an_absent_split_are_refused(data):
    world = RealAlfworld({"data": data})
    with pytest.raises(EnvironmentFault, match=r"5 seen tasks were requested.* 4; request fewer"):
        world.tasks("seen", 5, seed=0)
    with pytest.raises(
        EnvironmentFault, match=r"unseen games are not in .*valid_unseen: .*alfworld-download"
    ):
        world.tasks("unseen", 1, seed=0)


def test_a_demonstration_is_the_recorded_run_with_thoughts(data):
    world = RealAlfworld({"data": data})
    (task,) = world.tasks("seen", 1, seed=0)
    turns = world.demonstration(task)
    assert [turn.action for turn in turns] == WINNING
    assert all(turn.thought for turn in turns)
    environment = world.environment()
    environment.reset(task)
    assert [environment.step(turn.action).done for turn in turns][-1]
    (data / path_of(task) / "gt_traj.json").unlink()
    assert world.demonstration(task) is None


def test_the_vocabulary_holds_every_entity_name_that_the_recordings_show(data):
    vocabulary = RealAlfworld({"data": data}).vocabulary()
    assert {"cup 1", "cup 2", "box 1", "shelf 1", "shelf 2", "lamp 1"} <= set(vocabulary)
    assert len(vocabulary) == len(set(vocabulary))


def test_games_that_nobody_found_solvable_are_left_out_and_said(data):
    known = RealAlfworld({"data": data})
    before = known.tasks("train", 30, seed=0)
    assert known.remarks() == []
    unsaid, unsolvable = (data / path_of(task) / "game.tw-pddl" for task in (before[1], before[4]))
    fields = json.loads(unsaid.read_text())
    unsaid.write_text(json.dumps({name: value for name, value in fields.items() if name != "solvable"}))
    unsolvable.write_text(json.dumps({**fields, "solvable": False}))
    world = RealAlfworld({"data": data})
    assert world.tasks("train", 6, seed=0) == [before[n] for n in (0, 2, 3, 5, 6, 7)]
    assert [line.partition("left out")[2] for line in world.remarks()] == [
        f" 1 of the 8 train games looked at, as the official loader does: it {defect}, e.g. {path_of(before[n])}"
        for n, defect in ((1, "does not say whether it is solvable"), (4, "is marked unsolvable"))
    ]
    with pytest.raises(
        EnvironmentFault, match=r"train tasks were requested, but .*left out 1 of .*; request fewer"
    ):
        world.tasks("train", 41, seed=0)
    unsaid.write_text("{}")  # damaged, which is another thing
    with pytest.raises(EnvironmentFault, match="lacks the key 'pddl_domain'"):
        RealAlfworld({"data": data}).tasks("train", 6, seed=0)


def test_a_world_without_remarks_has_none():
    assert complete(GeneratedAlfworld({})).remarks() == []


def test_unsolvable_games_and_those_the_official_loader_skips_are_no_tasks(data):
    seen = data / "json_2.1.1" / "valid_seen"
    write_game(seen / f"{TYPES[0]}-Cup-None-Box-90" / "trial_1", solvable=False)
    write_game(seen / f"{TYPES[0]}-CupSliced-None-Box-91" / "trial_1")
    tasks = RealAlfworld({"data": data}).tasks("seen", 4, seed=0)
    assert not [task for task in tasks if "-90/" in task.payload or "Sliced" in task.payload]


def test_a_replay_notices_a_changed_observation_and_a_dropped_action(data):
    folder = next((data / "json_2.1.1").glob("valid_seen/*/*"))
    same = replay_folder(folder)
    assert (same.answers, same.differences, same.won) == (len(WINNING) + 1, (), True)
    game, (first, pairs) = read_game(folder).compile(), read_recording(folder / "gt_traj.json")
    changed = [(action, text.replace("you see nothing", "you see a cup 1")) for action, text in pairs]
    assert len(replay(game, first, changed).differences) == 1
    assert len(replay(game, first + " ", pairs).differences) == 1
    for dropped in range(1, len(pairs)):
        assert not replay(game, first, pairs[:dropped] + pairs[dropped + 1 :]).won


@pytest.mark.parametrize("text", ["{}", '[{"from": "gpt", "value": "look"}]', '[{"value": 1}]', "[", "[]"])
def test_a_broken_recording_is_refused(tmp_path, text):
    (tmp_path / "gt_traj.json").write_text(text)
    with pytest.raises(EnvironmentFault, match=r"gt_traj\.json"):
        read_recording(tmp_path / "gt_traj.json")
