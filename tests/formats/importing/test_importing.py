"""An import keeps the runs that reach their task's goal, and sets everything else aside with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from environments.base import EnvironmentFault
from environments.recorded.recording import read_recordings
from environments.states import attempts
from environments.template.world import World
from formats.importing.written import WrittenRuns
from rollouts.play import MAX_LOST, EpisodeSettings
from rollouts.stages.demonstrate import expert_run
from steca.action_formats import FORMATS
from tests.support.imported_runs import (
    HELD_OUT,
    TASKS,
    Row,
    imported,
    imported_into,
    kept,
    lines,
    openai,
    played,
    set_aside,
    sharegpt,
)
from tests.support.own_worlds import Bare, Failing, completed
from tests.support.rollouts_toys import config

FIXTURES = Path("tests/fixtures/import")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "new" / "runs.jsonl"


def reason(row: Any, out: Path, more: tuple[Any, ...] = (), **environment: Any) -> tuple[str, str]:
    """Of the last row of a file: the kind and the reason for which it is set aside."""
    imported(lines(out.parent.parent / "in.jsonl", [*more, row]), out, **environment)
    *_, last = set_aside(out)
    assert last["line"] == len(more) + 1
    return last["kind"], last["reason"]


def test_what_is_written_is_what_the_world_answers(out: Path, tmp_path: Path) -> None:
    found = imported(lines(tmp_path / "in.jsonl", [sharegpt(TASKS[0])]), out)
    assert (found.kept, found.read, dict(found.parts)) == (1, 1, {"demonstrations": 1})
    [row] = kept(out)
    first, turns = played(TASKS[0])
    said = [("user", first)]
    for thought, action, observation in turns:
        said += [("assistant", f"Thought: {thought}\nAction: {action}"), ("user", observation)]
    assert [(message["role"], message["content"]) for message in row["messages"]] == said
    assert row["task_id"] == TASKS[0].task_id
    assert row["source"] == {"file": "in.jsonl", "line": 1, "found_by": "first observation"}
    assert [path.name for path in out.parent.iterdir()] == ["runs.jsonl"]


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.iterdir()))
def test_every_shape_gives_the_same_run(name: str, out: Path) -> None:
    """The files were written by hand, after the formats' own pages."""
    imported(FIXTURES / name, out)
    assert not set_aside(out)
    [row] = kept(out)
    assert row["task_id"] == "pantry-attic-library"
    said = [message["content"] for message in row["messages"][1::2]]
    assert said == [
        "Thought: I look.\nAction: enter attic",
        "Thought: Here it is.\nAction: take parcel",
        "Thought: Now to the library.\nAction: enter library",
        "Thought: Done.\nAction: drop parcel",
    ]


def test_an_imported_file_is_imported_as_it_is(out: Path, tmp_path: Path) -> None:
    imported(lines(tmp_path / "in.jsonl", [sharegpt(task) for task in TASKS]), out)
    again = tmp_path / "again.jsonl"
    assert imported(out, again).matched_by == {"id": 12}
    assert [row["messages"] for row in kept(again)] == [row["messages"] for row in kept(out)]
    assert [row["task_id"] for row in kept(again)] == [task.task_id for task in TASKS]


@pytest.mark.parametrize("form", ["react", "tool_call", "code"])
def test_demonstrate_takes_every_imported_run(form: Any, out: Path, tmp_path: Path) -> None:
    imported(lines(tmp_path / "in.jsonl", [openai(task) for task in TASKS]), out, Bare(), action_format=form)
    assert len(read_recordings(out, FORMATS[form]).by_id) == 12
    world = completed(Bare(), action_format=form, demonstrations=out)
    for task in world.tasks("train", 12, 0):
        run, problem = expert_run(world, task, EpisodeSettings(config().environment))
        assert not problem
        assert run
        assert run.trajectory.success
        assert run.trajectory.steps[0].thought == "Turn 0."


def test_tasks_that_begin_alike_are_told_apart_by_playing(out: Path, tmp_path: Path) -> None:
    """The parcel is not where it is in the other task, and nothing at the beginning says so."""
    pool = World().tasks("train", 400, 0)
    begins = {played(task)[0] for task in pool}
    assert len(begins) < len(pool) / 2
    parts = {"demonstrations": pool}
    imported_into(completed(World()), parts, lines(tmp_path / "in.jsonl", map(sharegpt, pool[:40])), out)
    assert [row["task_id"] for row in kept(out)] == [task.task_id for task in pool[:40]]


def test_good_lines_are_kept_among_bad_ones(out: Path, tmp_path: Path) -> None:
    rows: list[Any] = [
        sharegpt(TASKS[0]),
        "{",
        openai(TASKS[1]),
        json.dumps(openai(TASKS[2]))[:-9],
        b"\xff",
        "",
    ]
    found = imported(lines(tmp_path / "in.jsonl", [*rows, sharegpt(TASKS[3])]), out)
    assert [row["source"]["line"] for row in kept(out)] == [1, 3, 7]
    assert [(row["line"], row["kind"]) for row in set_aside(out)] == [(n, "not read") for n in (2, 4, 5)]
    assert set_aside(out)[1]["text"] == rows[3]
    assert found.examples["not read"].startswith("line 2: is not JSON: Expecting property name")
    assert (found.read, found.kept) == (6, 3)


def test_a_run_whose_turns_or_answers_cannot_be_used_is_set_aside(out: Path) -> None:
    assert reason({**openai(TASKS[0]), "extra": {"kind": "explored"}}, out)[0] == "not expert"
    untrained = openai(TASKS[0])
    untrained["messages"][2]["weight"] = 0
    assert reason(untrained, out)[0] == "not trained"


def test_a_run_that_the_world_answers_otherwise_is_told_with_the_step(out: Path) -> None:
    row = openai(TASKS[0])
    row["messages"][5]["content"] = "A dragon!"
    kind, why = reason(row, out)
    assert kind == "answered otherwise"
    assert why.startswith(
        "step 2, 'take parcel', was answered 'A dragon!' and is answered 'You take the parcel.'"
    )


def test_answers_that_were_not_recorded_are_the_worlds(out: Path, tmp_path: Path) -> None:
    row = openai(TASKS[0])
    row["messages"] = [message for message in row["messages"] if message["role"] != "tool"]
    imported(lines(tmp_path / "in.jsonl", [row]), out)
    assert kept(out)[0]["messages"][4]["content"] == "You take the parcel."


def test_a_failed_run_is_set_aside_and_a_later_one_of_the_task_is_used(out: Path, tmp_path: Path) -> None:
    failed = openai(TASKS[0])
    failed["messages"] = failed["messages"][:-2]
    good = openai(TASKS[0])
    imported(lines(tmp_path / "in.jsonl", [failed, good, openai(TASKS[0])]), out)
    assert [row["source"]["line"] for row in kept(out)] == [2]
    first, last = set_aside(out)
    assert first["kind"] == "no goal"
    assert "does not reach the goal of task pantry-attic-library" in first["reason"]
    assert first["reason"].endswith("in 3 steps (reward 0): its turns end before")
    assert (last["kind"], last["line"]) == ("task has one", 3)
    assert last["reason"].endswith("; that of line 2 is used")


def test_a_run_of_a_held_out_task_is_never_used(out: Path) -> None:
    for row in (openai(HELD_OUT[0]), sharegpt(HELD_OUT[1])):
        kind, why = reason(row, out)
        assert kind == "held out"
        assert "of the held-out split seen" in why
        assert not out.exists()


def test_a_run_of_no_task_is_told_with_an_id_of_a_task(out: Path) -> None:
    row = {**openai(TASKS[0]), "task_id": "maze-1"}
    row["messages"][1]["content"] = "You are in a maze."
    assert reason(row, out) == (
        "no task",
        "belongs to none of the 14 tasks of this configuration: its id 'maze-1' is none (a task has "
        "'pantry-attic-library'), and its first observation is that of none",
    )


def test_a_run_with_more_steps_than_an_episode_has_says_which_setting_to_raise(out: Path) -> None:
    kind, why = reason(openai(TASKS[0]), out, step_cap=3)
    assert (kind, why) == (
        "no goal",
        "has 4 turns, and an episode ends after 3: raise environment.step_cap (3)",
    )


def test_only_one_shape_is_taken_where_it_is_named(out: Path, tmp_path: Path) -> None:
    file = lines(tmp_path / "in.jsonl", [openai(TASKS[0]), sharegpt(TASKS[1])])
    assert imported(file, out, shape="sharegpt").kept == 1
    assert set_aside(out)[0]["reason"] == "is of the shape openai, and --format says sharegpt"


def test_several_files_are_named_with_their_lines(out: Path, tmp_path: Path) -> None:
    files = [
        lines(tmp_path / name, [row, "{"]) for name, row in (("a", openai(TASKS[0])), ("b", openai(TASKS[0])))
    ]
    found = imported(files, out)
    assert found.examples["not read"].startswith("a, line 2: ")
    assert found.examples["task has one"].endswith("; that of a, line 1 is used")


def test_a_file_of_runs_is_never_replaced_and_an_error_leaves_nothing(out: Path, tmp_path: Path) -> None:
    file = lines(tmp_path / "in.jsonl", [openai(TASKS[0]), "{"])
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        imported([file, tmp_path / "none"], out)
    assert not list(out.parent.iterdir())
    imported(file, out)
    with pytest.raises(EnvironmentFault, match="exists already: choose another --out"), WrittenRuns(out):
        pass
    assert len(kept(out)) == len(set_aside(out)) == 1


def test_a_lost_connection_costs_one_run_and_a_world_that_is_gone_stops(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "WAITS", (0.0, 0.0))
    rows: list[Row] = [openai(task) for task in TASKS]
    imported(lines(tmp_path / "in.jsonl", rows), out, Failing(at=(1, 2, 3)))
    assert len(kept(out)) == 11
    assert set_aside(out)[0]["kind"] == "not played"
    with pytest.raises(EnvironmentFault, match=f"lost {MAX_LOST} episodes in a row"):
        imported(tmp_path / "in.jsonl", tmp_path / "other.jsonl", Failing(after=0))


def test_a_second_run_of_a_task_among_tasks_that_begin_alike_is_told_as_that(
    out: Path, tmp_path: Path
) -> None:
    pool = World().tasks("train", 400, 0)
    alike = next(
        found for task in pool if len(found := [t for t in pool if played(t)[0] == played(task)[0]]) > 2
    )
    other = sharegpt(alike[0], said="Thought: {} Indeed.\nAction: {}")
    rows = [sharegpt(alike[0]), sharegpt(alike[0]), other, sharegpt(alike[2])]
    parts = {"demonstrations": alike[:2], "seen": alike[2:]}
    imported_into(completed(World()), parts, lines(tmp_path / "in.jsonl", rows), out)
    found = [(row["line"], row["kind"]) for row in set_aside(out)]
    assert found == [(2, "task has one"), (3, "task has one"), (4, "held out")]


def test_a_run_in_an_array_is_told_with_its_number(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "in.json"
    file.write_text(json.dumps([openai(TASKS[0]), {}]))
    assert imported(file, out).examples["no run"].startswith("line 1, element 2 of the array: has none of")
    assert set_aside(out)[0]["element"] == 2


def test_a_call_that_is_in_the_text_too_is_no_part_of_the_thought(out: Path, tmp_path: Path) -> None:
    row = openai(TASKS[0])
    for message in row["messages"]:
        if message["role"] == "assistant":
            command = json.loads(message["tool_calls"][0]["function"]["arguments"])["command"]
            message["content"] = f"Thought: {message['content']}\nAction: {command}"
    for form in ("react", "tool_call"):
        target = tmp_path / f"{form}.jsonl"
        imported(lines(tmp_path / "in.jsonl", [row]), target, action_format=form)
        assert [run.turns[0].thought for run in read_recordings(target, FORMATS[form]).by_id.values()] == [
            "Turn 0."
        ]
