"""The command line: what it prints, and one clear line with the right exit code for everything that goes wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from cli.main import app
from cli.terminal.console import make_console
from cli.terminal.progress import PlainReporter
from configs.load import load_config
from configs.schema import FactoryConfig
from configs.stages import STAGES
from flows.runs.run import run_id
from storage.runs import RunFolder, package_version
from storage.store import Store
from tests.support.tiny_factory import ROOT, STECA, TINY


def steca(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_tiny(data_dir: Path, *overrides: str) -> Result:
    sets = [part for override in (f"data_dir={data_dir}", *overrides) for part in ("--set", override)]
    return steca("run", "--config", TINY, *sets)


def assert_one_line(result: Result, code: int, *said: str) -> None:
    """The exit code, and a single line on stderr that holds what is said; no traceback."""
    assert result.exit_code == code, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    for part in said:
        assert part in lines[0]


def test_help_and_sql_load_nothing_heavy() -> None:
    code = (
        "import sys; import cli.main, storage.store, cli.terminal.tables\n"
        "print(sorted({'torch', 'transformers', 'prefect', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_command() -> None:
    said = steca("--help").output
    for command in ("run", "stage", "config", "sql", "status", "serve", "what-if", "trace"):
        assert f" {command} " in said


def test_config_prints_a_configuration_that_gives_itself_again(tmp_path: Path) -> None:
    result = steca("config", "--config", TINY, "--set", "seed=7")
    assert result.exit_code == 0
    (tmp_path / "again.yaml").write_text(result.stdout)
    assert load_config(tmp_path / "again.yaml") == load_config(TINY, ["seed=7"])
    assert yaml.safe_load(result.stdout)["rewards"]["top_p"] == 1.0


def test_bad_settings_end_before_anything_runs(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("seed: 1\nrewards: [1, 2\nname: x\n")
    assert_one_line(steca("run", "--config", broken), 2, f"{broken}, line 3", "broken YAML")
    data = tmp_path / "data"
    assert_one_line(run_tiny(data, "rewards.rollot=1"), 2, "unknown field rewards.rollot", "rewards.rollouts")
    assert_one_line(run_tiny(data, "deviation.delta=2"), 2, "deviation.delta", "got 2", "<= 1")
    assert not data.exists()


def test_an_unknown_world_names_the_known_ones(prefect_api: str, tmp_path: Path) -> None:
    result = run_tiny(tmp_path, "environment.name=mars")
    assert_one_line(result, 1, "'mars'", "alfworld-generated")


def test_run_prints_rates_counts_times_and_what_to_do_next(finished: FactoryConfig) -> None:
    result = run_tiny(finished.data_dir)
    assert result.exit_code == 0, result.output
    said = result.stdout
    for part in (
        "Success rate (95 % interval)",
        "after deviation",
        "calibrations kept",
        "trajectories.duckdb",
    ):
        assert part in said
    assert "every result is in the cache: nothing was computed again" in said
    assert run_id(finished) in said
    asked = [line.split('"')[1] for line in said.splitlines() if line.strip().startswith("steca sql")]
    assert len(asked) == 4
    for sql in asked:
        assert Store(finished.data_dir).query(sql)[0]


def test_run_says_how_far_each_stage_is_and_what_came_from_the_cache(copied: FactoryConfig) -> None:
    result = run_tiny(copied.data_dir, "calibration.replan=false")
    assert result.exit_code == 0, result.output
    said = result.stdout
    assert "rewards: done" in said
    assert "8 of 8 batches from the cache" in said
    assert "calibrate: done" in said
    assert "0 of 4 batches from the cache" in said


def test_sql_prints_tables_csv_and_json(finished: FactoryConfig) -> None:
    query = "SELECT 'a,[b]' AS text, 1.5::DOUBLE AS number, NULL AS nothing"
    ask: Callable[..., str] = lambda *more: steca("sql", query, "--data-dir", finished.data_dir, *more).stdout  # noqa: E731
    assert list(csv.reader(io.StringIO(ask("--format", "csv")))) == [
        ["text", "number", "nothing"], ["a,[b]", "1.5", ""],
    ]  # fmt: skip
    assert json.loads(ask("--format", "json")) == [{"text": "a,[b]", "number": 1.5, "nothing": None}]
    assert "a,[b]" in ask()


def test_sql_cannot_change_the_store_and_says_what_is_wrong(finished: FactoryConfig, tmp_path: Path) -> None:
    data = ("--data-dir", finished.data_dir)
    assert_one_line(steca("sql", "DROP TABLE tasks", *data), 1, "read-only")
    assert_one_line(steca("sql", "FROM taks", *data), 1, "taks")
    assert_one_line(steca("sql", "FROM tasks", "--data-dir", tmp_path), 1, f"no runs in {tmp_path} yet")


def test_status_lists_runs_and_stages(finished: FactoryConfig, tmp_path: Path) -> None:
    data = ("--data-dir", finished.data_dir)
    assert run_id(finished) in steca("status", *data).stdout
    stages = steca("status", "--run", run_id(finished), *data).stdout
    assert all(stage in stages for stage in STAGES)
    assert "no runs" in steca("status", "--data-dir", tmp_path).stdout
    said = "no run nope", f"the only one is {run_id(finished)}"
    assert_one_line(steca("status", "--run", "nope", *data), 1, *said)
    assert_one_line(steca("stage", "rewards", "--run", "nope", *data), 1, *said)
    assert_one_line(steca("status", "--run", "nope", "--data-dir", tmp_path), 1, f"no runs in {tmp_path} yet")


def test_version_is_printed() -> None:
    assert steca("--version").stdout == f"steca {package_version()}\n"


def test_a_run_can_be_given_by_its_name_or_the_start_of_its_id(finished: FactoryConfig) -> None:
    whole = run_id(finished)
    for short in (finished.name, whole[:-2]):
        said = steca("status", "--run", short, "--data-dir", finished.data_dir).stdout
        assert said == steca("status", "--run", whole, "--data-dir", finished.data_dir).stdout


def test_a_run_whose_last_stage_never_ran_is_not_completed(copied: FactoryConfig) -> None:
    data = ("--data-dir", copied.data_dir)
    said = steca("status", *data).stdout
    assert "7 of 7" in said
    assert "completed" in said
    (copied.data_dir / "runs" / run_id(copied) / "stages" / "1-evaluate.json").unlink()
    said = steca("status", *data).stdout
    assert "6 of 7" in said
    assert "incomplete" in said


def test_serve_refuses_a_folder_of_configurations_that_is_not_there(tmp_path: Path) -> None:
    result = steca("serve", "--configs", tmp_path / "no", "--data-dir", tmp_path / "data")
    assert result.exit_code == 1
    assert f"--configs {tmp_path / 'no'}: there is no such folder" in result.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_what_cannot_work_is_refused_before_a_server_is_started_and_a_folder_made(tmp_path: Path) -> None:
    result = run_tiny(tmp_path / "data", "execution.device=cuda")
    assert_one_line(result, 1, "this machine has no CUDA device")
    assert "starting" not in result.stdout
    assert not (tmp_path / "data").exists()


def test_stages_are_listed_in_the_order_of_the_chain(copied: FactoryConfig) -> None:
    """Also where one of them was redone, so that it began last."""
    base = ("--run", run_id(copied), "--data-dir", copied.data_dir)
    assert steca("stage", "explore", *base).exit_code == 0
    rows = [line.split("│")[1].strip() for line in steca("status", *base).stdout.splitlines() if "│" in line]
    assert rows == list(STAGES)


def test_a_stage_that_fails_before_it_begins_has_no_end() -> None:
    out = io.StringIO()
    reporter = PlainReporter(make_console(out, 100))
    reporter.stage_ended("failed")
    assert out.getvalue() == ""
    reporter.stage_started("explore", 1, 2)
    reporter.stage_ended("done")
    reporter.stage_ended("failed")  # of the next one
    assert out.getvalue().count("done after") == 1
    assert "failed" not in out.getvalue()


def test_one_stage_runs_alone_and_force_redoes_it(copied: FactoryConfig) -> None:
    base = ("--run", run_id(copied), "--data-dir", copied.data_dir)
    folder = RunFolder(copied.data_dir, run_id(copied))
    before = folder.stage(1, "calibrate")
    assert "every result is in the cache" in steca("stage", "calibrate", *base).stdout
    assert folder.stage(1, "calibrate") == before
    assert steca("stage", "calibrate", "--force", *base).exit_code == 0
    state = folder.stage(1, "calibrate")
    assert state is not None
    assert state.cached_batches == 0


def test_a_stage_alone_says_what_is_missing(copied: FactoryConfig, tmp_path: Path) -> None:
    base = ("--run", run_id(copied), "--data-dir", copied.data_dir)
    (copied.data_dir / "runs" / run_id(copied) / "stages" / "1-explore.json").unlink()
    said = f"steca stage explore --run {run_id(copied)}"
    assert_one_line(steca("stage", "rewards", *base), 1, "has not run", said)
    assert_one_line(steca("stage", "rewards", "--round", "2", *base), 1, "has 1 round,")
    assert_one_line(steca("stage", "rewards", "--run", "nope", "--data-dir", tmp_path), 1, "no runs in")


def test_a_corrupt_shard_is_one_line_and_force_mends_it(copied: FactoryConfig) -> None:
    state = RunFolder(copied.data_dir, run_id(copied)).stage(1, "explore")
    assert state is not None
    shard = next((copied.data_dir / "shards" / state.batches[0].stage_key).glob("steps-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-20])
    assert_one_line(run_tiny(copied.data_dir), 1, shard.name, "--force")
    base = ("--run", run_id(copied), "--data-dir", copied.data_dir)
    assert steca("stage", "explore", "--force", *base).exit_code == 0
    assert run_tiny(copied.data_dir).exit_code == 0


@pytest.fixture
def games(tmp_path: Path) -> Path:
    """Three generated games in the official layout."""
    from environments.alfworld.generation.problem import game_texts
    from environments.alfworld.generation.world import GeneratedAlfworld
    from environments.alfworld.official.world import _held_out

    world = GeneratedAlfworld({"receptacles": 6, "objects": 4})
    folders = (f"json_2.1.1/train/{{}}-A-None-B-1/trial_{n}" for n in range(99))
    for task in world.tasks("train", 3, 0):
        place = next(path for f in folders if not _held_out(path := f.format(task.task_type)))
        domain, problem, grammar = game_texts(task.payload)
        game = {"pddl_domain": domain, "grammar": grammar, "pddl_problem": problem, "solvable": True}
        (tmp_path / "games" / place).mkdir(parents=True)
        (tmp_path / "games" / place / "game.tw-pddl").write_text(json.dumps(game))
    return tmp_path / "games"


def run_on(games: Path, data_dir: Path, demonstrations: int) -> Result:
    return run_tiny(
        data_dir,
        "environment.name=alfworld",
        f"environment.options={{data: {games}}}",
        "evaluation.splits=[]",
        f"tasks.demonstrations={demonstrations}",
        "tasks.exploration=1",
    )


def test_a_game_file_cut_in_half_is_named(prefect_api: str, games: Path, tmp_path: Path) -> None:
    victim = sorted(games.glob("*/*/*/*/game.tw-pddl"))[1]
    victim.write_text(victim.read_text()[: len(victim.read_text()) // 2])
    assert_one_line(run_on(games, tmp_path / "data", 2), 1, str(victim.parent), "truncated")


def test_an_unsolvable_game_is_left_out_or_named(prefect_api: str, games: Path, tmp_path: Path) -> None:
    victim = sorted(games.glob("*/*/*/*/game.tw-pddl"))[1]
    victim.write_text(json.dumps({**json.loads(victim.read_text()), "solvable": False}))
    result = run_on(games, tmp_path / "data", 2)
    assert_one_line(result, 1)
    assert str(victim.parent) in result.stderr or "has 2" in result.stderr


def test_missing_real_games_say_how_to_get_them(
    prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)
    result = run_tiny(tmp_path, "environment.name=alfworld", "environment.options={}")
    assert_one_line(result, 1, "ALFWORLD_DATA", "alfworld-download")


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in the place of the folder\n")
    result = run_tiny(tmp_path / "data")
    assert_one_line(result, 1, "cannot write in", str(tmp_path / "data"))
    assert (tmp_path / "data").read_text() == "a file in the place of the folder\n"


def test_a_full_disk_is_one_line_and_loses_nothing(copied: FactoryConfig) -> None:
    """Files of this process cannot grow beyond 64 KiB: the checkpoint does not fit."""
    before = {path: path.read_bytes() for path in (copied.data_dir / "shards").rglob("*.parquet")}
    command = [
        *STECA,
        "run",
        "--config",
        str(TINY),
        "--set",
        f"data_dir={copied.data_dir}",
        "--set",
        "seed=5",
    ]
    limit = 64 * 1024
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: cannot ")
    assert str(copied.data_dir) in done.stderr
    assert all(path.read_bytes() == data for path, data in before.items())
    assert Store(copied.data_dir).query("SELECT count(*) FROM runs")[1][0][0] >= 1


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    result = steca("run", "--config", TINY, "--set", f"data_dir={tmp_path / 'data'}", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


def test_a_run_that_another_process_works_on_is_waited_for(copied: FactoryConfig) -> None:
    from flows.runs.lock import lock_run

    run, held = run_id(copied), threading.Event()

    def work() -> None:
        with lock_run(RunFolder(copied.data_dir, run)):
            held.set()
            time.sleep(3)

    other = threading.Thread(target=work)
    other.start()
    held.wait()
    result = steca("stage", "explore", "--run", run, "--data-dir", copied.data_dir)
    assert not other.is_alive()
    assert result.exit_code == 0, result.output
    assert f"is working on run {run}: waiting for it" in result.output
