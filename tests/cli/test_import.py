"""`steca import` as a user starts it: tables, what is written, the next command, and one line for what goes wrong."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import cli.importing.command as command
from cli.main import app
from configs.load import load_config
from environments.template.world import World
from formats.importing.written import WrittenRuns
from tests.support.imported_runs import lines, openai, sharegpt

SETTINGS = (
    "environment.name=environments.template.world:World",
    "tasks.demonstrations=8",
    "tasks.exploration=4",
)
SMALL = (*SETTINGS, "tasks.seen=2", "tasks.unseen=2")
TASKS = World().tasks("train", 12, load_config(None).seed)


def steca(*words: object, settings: tuple[str, ...] = SMALL) -> Result:
    sets = [word for setting in settings for word in ("--set", setting)]
    return CliRunner().invoke(app, ["import", *map(str, words), *sets])


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_was_read_is_told_and_the_next_command_is_ready() -> None:
    lines(Path("in.jsonl"), [sharegpt(TASKS[0]), "{\x1b[31m", openai(TASKS[9], reward=1)])
    said = steca("in.jsonl", "--out", "my runs.jsonl")
    assert said.exit_code == 0, said.output
    assert "1 as openai, 1 as sharegpt" in said.output
    assert "line 2: is not JSON" in said.output
    assert "\x1b[31m" not in said.output
    assert (
        "1 of 8 in demonstrations; 1 of 4 in exploration. The others: the world's own expert" in said.output
    )
    assert "wrote my runs.jsonl: 2 runs, " in said.output
    words = shlex.split(said.output.strip().splitlines()[-1])
    sets = [word for setting in SMALL for word in ("--set", setting)]
    assert words == ["steca", "run", *sets, "--set", "environment.demonstrations=my runs.jsonl"]
    assert load_config(None, words[3::2]).environment.demonstrations == Path("my runs.jsonl")


def test_rewards_of_turns_are_told_not_to_be_used() -> None:
    row = openai(TASKS[0])
    row["messages"][2]["reward"] = 0.5
    said = steca(lines(Path("in.jsonl"), [row]), "--out", "runs.jsonl").output
    assert "1 run came with rewards or verdicts of turns. They are not used" in said


def test_without_an_expert_the_demonstrated_tasks_are_explored() -> None:
    lines(Path("in.jsonl"), [sharegpt(task) for task in TASKS[:3]])
    bare = ("environment.name=tests.support.own_worlds:Bare", *SMALL[1:])
    said = steca("in.jsonl", "--out", "runs.jsonl", settings=bare).output
    assert "they have no demonstration, and are left out" in said
    following = shlex.split(said.strip().splitlines()[-1])
    assert following[-4:] == ["--set", "tasks.explore_demonstrated=true", "--set", "tasks.exploration=4"]
    assert load_config(None, following[3::2]).tasks.explore_demonstrated


def test_a_folder_is_all_its_files() -> None:
    for number, task in enumerate(TASKS[:3]):
        Path(f"traces/{number}").mkdir(parents=True)
        lines(Path(f"traces/{number}/run.jsonl"), [openai(task)])
    Path("traces/README.md").write_text("# Traces")
    assert "wrote runs.jsonl: 3 runs" in steca("traces", "--out", "runs.jsonl").output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("none.jsonl",), "none.jsonl: cannot be read: No such file or directory"),
        (("empty",), "empty: this folder has no file named *.jsonl"),
        (("empty.jsonl",), "the file is empty: there is no run to import"),
        (
            ("bad.jsonl",),
            "no run can be used, so runs.jsonl was not written: runs.jsonl.set-aside.jsonl says why",
        ),
        (("bad.jsonl", "--set", "environment.name=nowhere"), "no world is called 'nowhere'"),
    ],
)
def test_what_cannot_be_imported_is_one_line(words: tuple[str, ...], why: str) -> None:
    Path("empty").mkdir()
    Path("empty.jsonl").touch()
    Path("bad.jsonl").write_text("{")
    said = steca(*words, "--out", "runs.jsonl", settings=() if "--set" in words else SMALL)
    assert said.exit_code == 1
    assert said.stderr.startswith("error: ")
    assert why in said.stderr
    assert said.stderr.count("\n") == 1
    assert not Path("runs.jsonl").exists()


def test_a_file_of_runs_is_not_replaced() -> None:
    lines(Path("in.jsonl"), [sharegpt(TASKS[0])])
    Path("runs.jsonl").write_text("mine")
    said = steca("in.jsonl", "--out", "runs.jsonl")
    assert (said.exit_code, Path("runs.jsonl").read_text()) == (1, "mine")
    assert "runs.jsonl exists already: choose another --out" in said.stderr


def test_an_import_that_may_not_write_is_refused_before_the_world_is_opened() -> None:
    lines(Path("in.jsonl"), [sharegpt(TASKS[0])])
    nowhere = ("environment.name=nowhere",)
    with WrittenRuns(Path("runs.jsonl")):
        said = steca("in.jsonl", "--out", "runs.jsonl", settings=nowhere)
    assert said.stderr == (
        "error: another import to runs.jsonl is running: wait for it, or choose another --out\n"
    )
    Path("runs.jsonl.set-aside.jsonl").write_text("mine")
    said = steca("in.jsonl", "--out", "runs.jsonl", settings=nowhere)
    assert "runs.jsonl.set-aside.jsonl exists already, and no import has written it" in said.stderr
    assert {path.name for path in Path().iterdir()} == {"in.jsonl", "runs.jsonl.set-aside.jsonl"}


def test_an_interrupted_import_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lines(Path("in.jsonl"), [sharegpt(TASKS[0])])

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command.ImportProgress, "read", interrupted)
    said = steca("in.jsonl", "--out", "runs.jsonl")
    assert said.exit_code == 130
    assert "nothing was written" in said.stderr
    assert [path.name for path in Path().iterdir()] == ["in.jsonl"]


def test_the_runs_of_a_second_import_are_not_those_that_the_configuration_names() -> None:
    lines(Path("in.jsonl"), [sharegpt(TASKS[0])])
    named = (*SMALL, "environment.demonstrations=others.jsonl")
    said = steca("in.jsonl", "--out", "runs.jsonl", settings=named)
    assert "environment.demonstrations others.jsonl is not read here" in said.output
    [row] = map(json.loads, Path("runs.jsonl").read_text().splitlines())
    assert row["task_id"] == TASKS[0].task_id
