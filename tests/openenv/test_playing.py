"""Servers made with the package `openenv`, played by the world `openenv`."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from environments.base import EpisodeFault, StepResult, Task
from environments.openenv.world import OpenEnv
from tests.support.openenv_package import (
    OURS,
    PACKAGE,
    answering,
    openenv,
    package_server,
    process,
    steca,
)
from tests.support.own_worlds import completed
from tests.support.serving import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # `make openenv`
ROOMS = ["attic", "cellar", "garage", "hall", "kitchen", "office"]


def begun(url: str, **options: Any) -> tuple[OpenEnv, Any, Task, str]:
    world = OpenEnv({"url": url, **options})
    environment, task = world.environment(), world.tasks("train", 1, 0)[0]
    return world, environment, task, environment.reset(task, 0)


def test_actions_of_text_and_tasks_that_are_seeds() -> None:
    with package_server("hunt") as (url, _):
        world, environment, task, first = begun(url, range=[0, 1])
        assert re.fullmatch(r"hunt 2\.1 [0-9a-f]{12}", world.version)
        assert world.splits() == ["train", "validation", "seen", "unseen"]
        assert first == "Find the key. Rooms: attic, cellar, garage, hall, kitchen, office."
        assert environment.step("dance") == StepResult("You cannot do that.", 0.0)
        crashed = environment.step("crash")
        assert crashed == StepResult("there is nothing to crash", 0.0, valid=False)
        *_, last = search(environment)
        assert last == StepResult("You find the key!", 1.0, done=True)
        assert environment.reset(task, 0) == first
        assert [*search(environment)][-1] == last
        environment.close()


def test_tasks_that_are_listed() -> None:
    with package_server("listed") as (url, _):
        world, environment, _, _ = begun(url, splits={"train": "train", "seen": "test"}, range=[0, 1])
        tasks = world.tasks("train", 4, 0)
        assert sorted(task.instruction for task in tasks) == [f"find key {index}" for index in range(4)]
        for task in (*tasks, *world.tasks("seen", 2, 0)):
            payload = json.loads(task.payload)
            environment.reset(task, 0)
            room = ROOMS[payload["index"] + (4 if payload["split"] == "test" else 0)]
            assert environment.step(f"search {room}").done
        environment.close()


def test_actions_with_several_fields() -> None:
    with package_server("grid") as (url, _):
        world, environment, _, first = begun(url)
        assert json.loads(first)["message"] == "Take the middle."
        missing = environment.step('{"row": 1}')
        assert missing == StepResult("Invalid message: column: Field required", 0.0, valid=False)
        assert environment.step("the middle").observation.startswith(
            "An action is a JSON object with row (integer)"
        )
        assert environment.step('{"row": 9, "column": 9}').valid is False
        won = environment.step('{"name": "step", "arguments": {"row": 1, "column": 1}}')
        assert (won.reward, won.done, json.loads(won.observation)["cells"][1]) == (1.0, True, [".", "X", "."])
        assert set(world.tools()[0]["parameters"]["properties"]) == {"row", "column", "note"}
        environment.close()


def test_calls_of_tools() -> None:
    with package_server("calculator") as (url, _):
        world, environment, _, first = begun(url)
        assert first == "Make seven."
        [tool] = world.tools()
        assert (tool["name"], tool["description"]) == ("add", "Add two numbers.")
        assert environment.step('{"name": "add", "arguments": {"a": 3, "b": 4}}') == StepResult("7")
        wrong = environment.step('{"name": "add", "arguments": {"a": "x"}}')
        assert "a valid integer" in wrong.observation
        assert not wrong.valid
        assert not environment.step('{"name": "none", "arguments": {}}').valid
        environment.close()


def test_the_scaffold_of_the_package(tmp_path: Path) -> None:
    code, said = openenv(tmp_path, "init", "echo_toy")
    assert code == 0, said
    port = free_port()
    command = [PACKAGE / "python", "-m", "uvicorn", "server.app:app", "--port", str(port)]
    with process(command, tmp_path / "echo_toy") as running:
        _, environment, _, first = begun(answering(f"http://127.0.0.1:{port}", running))
        assert first == "Echo Toy environment ready!"
        result = environment.step("hello")
        assert (result.observation, result.reward, result.valid) == ("hello", pytest.approx(0.5), True)
        environment.close()


def test_a_server_for_one_session_is_used_by_one_environment() -> None:
    with package_server("hunt", sessions=1) as (url, running):
        world = completed(OpenEnv({"url": url, "range": [0, 1]}))
        states = [world.begin(task)[1] for task in world.tasks("train", 3, 0)]
        for room in ROOMS[:2]:
            states = [world.advance(state, f"search {room}")[1] for state in states]
        running.kill()
        with pytest.raises(EpisodeFault, match=r"ConnectionError: .*\(3 attempts\)"):
            world.advance(states[0], "search hall")
        world.close()


def search(environment: Any) -> list[StepResult]:
    """One room after the other."""
    answers: list[StepResult] = []
    for room in ROOMS:
        answers.append(environment.step(f"search {room}"))
        if answers[-1].done:
            break
    return answers


def recorded(url: str, file: Path) -> None:
    """Expert runs of the first training tasks, in the form of ShareGPT."""
    world = OpenEnv({"url": url, "range": [0, 1]})
    environment, lines = world.environment(), []
    for task in world.tasks("train", 60, 0):
        talk = [{"from": "human", "value": environment.reset(task, 0)}]
        for room, answer in zip(ROOMS, search(environment), strict=False):
            said = f"Thought: I have not looked there.\nAction: search {room}"
            talk += [{"from": "gpt", "value": said}, {"from": "human", "value": answer.observation}]
        lines.append(json.dumps({"id": task.task_id, "conversations": talk}))
    environment.close()
    file.write_text("\n".join(lines))


CONFIG = """
name: hunt
environment:
  name: openenv
  options: {url: URL, range: [0, 1], live_environments: 6}
  demonstrations: runs.jsonl
  step_cap: 8
tasks: {demonstrations: 30, exploration: 20, validation: 0, seen: 6, unseen: 6}
policy:
  small: {layers: 1, hidden_size: 64, heads: 2, kv_heads: 1, context: 512, vocabulary: 512}
  max_turn_tokens: 32
warmup: {steps: 60, batch_size: 16, learning_rate: 0.003}
training: {steps: 10, batch_size: 16, learning_rate: 0.001}
execution: {device: cpu, threads: 1}
"""


def test_a_world_check_and_a_run(tmp_path: Path) -> None:
    with package_server("hunt", sessions=16) as (url, _):
        recorded(url, tmp_path / "runs.jsonl")
        (tmp_path / "hunt.yaml").write_text(CONFIG.replace("URL", url))
        checked = steca(tmp_path, "world", "check", "--config", "hunt.yaml")
        assert "no fault" in checked
        assert "world openenv has no snapshots" in steca(tmp_path, "run", "--config", "hunt.yaml")
        kept = "SELECT count(*) AS n FROM calibrations WHERE kept"
        assert json.loads(steca(tmp_path, "sql", kept, "--format", "json"))[0]["n"] >= 1
        rows = json.loads(
            steca(tmp_path, "sql", "SELECT DISTINCT observation FROM steps", "--format", "json")
        )
        assert {"You find the key!", "Nothing here."} <= {row["observation"] for row in rows}
        worlds = json.loads(steca(tmp_path, "sql", "SELECT DISTINCT world FROM tasks", "--format", "json"))
        assert worlds == [{"world": "openenv"}]
        assert "every result is in the cache" in steca(tmp_path, "run", "--config", "hunt.yaml")
    refused = steca(tmp_path, "run", "--config", "hunt.yaml", fails=True)
    assert refused.strip().splitlines()[-1].startswith(f"error: no OpenEnv server answers at {url}/metadata")


def test_a_server_that_is_killed_in_mid_run_costs_no_finished_batch(tmp_path: Path) -> None:
    """The run ends with one line. Against another server, at another URL, it goes on."""
    config, folder = tmp_path / "hunt.yaml", tmp_path / "data"
    with package_server("hunt", sessions=16) as (url, server):
        recorded(url, tmp_path / "runs.jsonl")
        config.write_text(
            f"{CONFIG.replace('URL', url).strip()}\n".replace("threads: 1", "threads: 1, batch_tasks: 2")
        )
        command = [sys.executable, "-m", "cli", "run", "--config", config, "--set", f"data_dir={folder}"]
        with process(command, tmp_path, OURS) as running:
            end = time.monotonic() + 200
            while not (scored := [*folder.glob("shards/*/score-*.json")]) and time.monotonic() < end:
                time.sleep(0.01)
            server.kill()
            said = running.communicate(timeout=100)[0]
    assert scored
    assert running.returncode == 1
    assert "Traceback" not in said
    assert re.search(r"^error: .*Connection.* \(3 attempts\)", said, re.MULTILINE), said
    with package_server("hunt", sessions=16) as (url, _):
        again = [
            "run",
            "--config",
            config,
            "--set",
            f"data_dir={folder}",
            "--set",
            f"environment.options.url={url}",
        ]
        steca(tmp_path, *again)
    query = """SELECT stage, batches, cached_batches FROM run_stages
               WHERE status = 'completed' AND stage IN ('demonstrate', 'warmup', 'explore', 'rewards')
               AND run_id = (SELECT arg_max(run_id, started_at) FROM run_stages)"""
    told = json.loads(steca(tmp_path, "sql", query, "--data-dir", folder, "--format", "json"))
    done = {row["stage"]: (row["batches"], row["cached_batches"]) for row in told}
    assert all(done[stage][0] == done[stage][1] for stage in ("demonstrate", "warmup", "explore"))
    assert 0 < done["rewards"][1] < done["rewards"][0]
