"""However a run in the Prefect UI is stopped, nothing of it stays: no process, and no flow run that is Running.

Slow (about ten minutes): `make stopping`. Real processes, and the calls of the UI. Times have wide limits: a busy
machine takes several times as long as an idle one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.runs.run import run_id
from storage.runs import RunFolder, StageState
from tests.support.prefect_api import wait_until
from tests.support.serving import Serve, command_of, free_port, prefect_server, serving, start_tiny
from tests.support.tiny_factory import tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a busy machine
LONG = "warmup.steps=100000"
STAND_IN = json.dumps([sys.executable, "-m", "tests.support.vllm_stand_in"])
NEVER_READY = json.dumps(
    [
        sys.executable,
        "-c",
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); time.sleep(10**6)",
    ]
)
MANY_ROLLOUTS = ("rewards.rollouts=4000", "rewards.candidates=20")
PLACES = {
    "training": ("warmup", (LONG,)),
    "training in two processes": ("warmup", (LONG, "execution.processes=2", "seed=2")),
    "rollouts": ("rewards", (*MANY_ROLLOUTS, "seed=3")),
    "a server that is away": (
        "explore",
        ("policy.engine=openai", "execution.server.base_urls=[http://127.0.0.1:9/v1]", "seed=4"),
    ),
    "a served policy": (
        "rewards",
        (*MANY_ROLLOUTS, "policy.engine=openai", f"execution.server.command={STAND_IN}", "seed=5"),
    ),
    "a policy's server that starts": (
        "explore",
        ("policy.engine=openai", f"execution.server.command={NEVER_READY}", "seed=8"),
    ),
}
"""By what a run is doing: the stage, and the settings that make it last."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with prefect_server(tmp_path_factory.mktemp("prefect"), port):
        yield f"http://127.0.0.1:{port}/api"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serve, Path]]:
    """One `steca serve` and its data folder. On a server of its own: nobody else may pick up its runs."""
    folder = tmp_path_factory.mktemp("serve")
    with serving(folder) as serve:
        yield serve, folder


def stage_of(data_dir: Path, stage: str, *overrides: str) -> StageState | None:
    config = tiny(data_dir, *overrides)
    return RunFolder(data_dir, run_id(config)).stage(0 if stage in ("demonstrate", "warmup") else 1, stage)


def start_until(serve: Serve, data_dir: Path, stage: str, *overrides: str) -> str:
    """Start a run, and wait until it is in a stage."""
    run = start_tiny(serve.api, data_dir, *overrides)

    def there() -> bool:
        assert serve.process.poll() is None, serve.said()
        assert serve.api.state(run)["name"] not in ("Failed", "Crashed"), serve.said()
        state = stage_of(data_dir, stage, *overrides)
        return bool(state and state.status == "running")

    wait_until(there)
    return run


def waiting_run(serve: Serve, data_dir: Path, *overrides: str) -> str:
    """Start a run that another one holds, and wait until it says so."""
    run = start_tiny(serve.api, data_dir, *overrides)
    wait_until(
        lambda: "waiting for it" in serve.api.logs(run), what="its log in the UI says for whom it waits"
    )
    return run


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=30)[1]


@pytest.mark.parametrize("place", PLACES)
def test_cancel_ends_a_run_wherever_it_is(place: str, shared: tuple[Serve, Path]) -> None:
    serve, data_dir = shared
    stage, overrides = PLACES[place]
    run = start_until(serve, data_dir, stage, *overrides)
    family = serve.flow_family()
    assert family
    serve.api.cancel(run)
    serve.api.wait_for(run, "Cancelled", seconds=60)
    assert gone(family)
    state = stage_of(data_dir, stage, *overrides)
    assert state
    assert state.status == "crashed", state.error
    assert "goes on where it stopped" in str(state.error)
    assert all(below["state_name"] in ("Completed", "Cancelled", "Crashed") for below in serve.api.below(run))


def test_cancel_and_suspend_end_a_run_that_waits_for_another(shared: tuple[Serve, Path]) -> None:
    serve, data_dir = shared
    first = start_until(serve, data_dir, "warmup", LONG, "seed=6")
    ends = {"cancel": "Cancelled", "suspend": "Suspended"}
    for how, name in ends.items():
        before = set(serve.flow_processes())
        second = waiting_run(serve, data_dir, LONG, "seed=6")
        (process,) = set(serve.flow_processes()) - before
        getattr(serve.api, how)(second)
        serve.api.wait_for(second, name, seconds=60)
        assert gone([process])
        assert serve.api.state(second)["name"] == name
    assert serve.api.state(first)["name"] == "Running", "the others did not disturb it"
    serve.api.cancel(first)
    serve.api.wait_for(first, "Cancelled", seconds=60)


@pytest.mark.parametrize("place", ["training", "a server that is away"])
def test_a_suspended_run_stops_inside_a_batch_and_resume_goes_on(
    place: str, shared: tuple[Serve, Path]
) -> None:
    serve, data_dir = shared
    stage, overrides = PLACES[place]
    overrides = (*overrides, "seed=7")
    run = start_until(serve, data_dir, stage, *overrides)
    family = serve.flow_family()
    assert family
    serve.api.suspend(run)
    assert gone(family)
    assert serve.api.state(run)["name"] == "Suspended"
    assert {below["state_name"] for below in serve.api.below(run)} <= {"Completed", "Suspended"}
    assert "Suspended" in {below["state_name"] for below in serve.api.below(run)}
    state = stage_of(data_dir, stage, *overrides)
    assert state
    assert state.status == "crashed", state.error
    assert "Resume in the Prefect UI" in str(state.error)
    serve.api.resume(run)
    wait_until(lambda: getattr(stage_of(data_dir, stage, *overrides), "status", None) == "running")
    demonstrated = stage_of(data_dir, "demonstrate", *overrides)
    assert demonstrated
    assert demonstrated.cached_batches == len(demonstrated.batches) > 0
    wait_until(lambda: "Suspended" not in {below["state_name"] for below in serve.api.below(run)})
    serve.api.cancel(run)
    serve.api.wait_for(run, "Cancelled", seconds=60)


@pytest.mark.parametrize("pool", ["", "workers"])
def test_a_run_whose_process_is_killed_is_crashed_with_all_below_and_retried(
    pool: str, tmp_path: Path
) -> None:
    """As the kernel does where memory is short."""
    with serving(tmp_path, pool=pool) as serve:
        run = start_until(serve, tmp_path, "warmup", LONG)
        [process] = serve.flow_processes()
        process.kill()
        serve.api.wait_for(run, "Crashed", seconds=60)
        wait_until(lambda: {one["state_name"] for one in serve.api.below(run)} == {"Completed", "Crashed"})
        unfinished = {"task_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}}
        wait_until(lambda: not serve.api.post("/task_runs/filter", **unfinished))
        serve.api.retry(run)
        wait_until(lambda: serve.flow_processes())
        serve.api.wait_for(run, "Running", seconds=60)


def test_a_run_of_a_worker_is_cancelled_suspended_and_resumed(tmp_path: Path) -> None:
    with serving(tmp_path, pool="workers") as serve:
        run = start_until(serve, tmp_path, "warmup", LONG)
        family = serve.flow_family()
        serve.api.suspend(run)
        assert gone(family)
        assert serve.api.state(run)["name"] == "Suspended"
        serve.api.resume(run)
        wait_until(lambda: getattr(stage_of(tmp_path, "warmup", LONG), "status", None) == "running")
        family = serve.flow_family()
        serve.api.cancel(run)
        serve.api.wait_for(run, "Cancelled", seconds=60)
        assert gone(family)
        assert serve.api.refused("tiny", threshold=2).status_code == 409, (
            "its forms are those of `steca serve`"
        )


@pytest.mark.parametrize(
    ("number", "whole_group", "pool"),
    [
        (signal.SIGINT, True, ""),
        (signal.SIGTERM, False, ""),
        (signal.SIGHUP, True, ""),
        (signal.SIGKILL, False, ""),
        (signal.SIGTERM, False, "workers"),
        (signal.SIGKILL, False, "workers"),
    ],
    ids=["Ctrl-C", "TERM", "closed terminal", "KILL", "TERM of a worker", "KILL of a worker"],
)
def test_whatever_ends_serve_its_runs_are_crashed_and_gone(
    number: signal.Signals, whole_group: bool, pool: str, url: str, tmp_path: Path
) -> None:
    with serving(tmp_path, url, pool=pool) as serve:
        runs = [start_until(serve, tmp_path, "warmup", LONG), waiting_run(serve, tmp_path, LONG)]
        if number != signal.SIGKILL:  # its process would not see that it is alone for a moment
            serve.api.pause(runs[1])  # as a flow that waits for an answer
            runs.append(start_tiny(serve.api, tmp_path, LONG))
            serve.api.wait_for(runs[-1], "Pending", "Submitting", "Running", "Waiting")
        family = serve.end(number, whole_group)
        assert gone(family)
        assert serve.process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    for run in runs:
        state = serve.api.wait_for(run, "Crashed", seconds=30)
        assert "`steca serve` was" in state["message"]
        assert state["message"].endswith("; Retry goes on where it stopped")
        assert all(below["state_name"] in ("Completed", "Crashed") for below in serve.api.below(run))
    assert stage_of(tmp_path, "warmup", LONG).status == "crashed"  # type: ignore[union-attr]
    assert "Traceback" not in serve.said()


def test_serve_with_its_own_server_recovers_from_everything(tmp_path: Path) -> None:
    """Ctrl-C, then Retry; the server killed; serve killed, then reported, then Retry to the end."""
    port, overrides = free_port(), ("warmup.steps=5000",)
    name = run_id(tiny(tmp_path, *overrides))
    with serving(tmp_path, port=port) as serve:
        run = start_until(serve, tmp_path, "warmup", *overrides)
        assert gone(serve.end(signal.SIGINT, whole_group=True))
        assert f"1 flow run ended: {name} (Crashed); Retry in the UI goes on" in serve.said()
    with serving(tmp_path, port=port) as serve:
        assert serve.api.state(run)["message"].startswith("`steca serve` was stopped (SIGINT)")
        serve.api.retry(run)
        wait_until(lambda: getattr(stage_of(tmp_path, "warmup", *overrides), "status", None) == "running")
        server = [
            one
            for one in serve.family()
            if "server" in command_of(one) and "guard.py" not in str(command_of(one))
        ]
        os.kill(server[0].pid, signal.SIGKILL)
        wait_until(lambda: "the Prefect server runs again" in serve.said())
        assert serve.api.state(run)["name"] == "Running"
        wait_until(lambda: len(serve.flow_processes()) == 1)
        assert gone(serve.end(signal.SIGKILL))
    with serving(tmp_path, port=port) as serve:
        assert f"1 flow run had no process any more: {name} (Crashed); Retry in the UI" in serve.said()
        serve.api.retry(run)
        assert serve.api.wait_for(run, "Completed", "Failed", "Crashed")["name"] == "Completed"
        demonstrated = stage_of(tmp_path, "demonstrate", *overrides)
        assert demonstrated
        assert demonstrated.cached_batches == len(demonstrated.batches) > 0
        assert gone(serve.end(signal.SIGTERM))


def test_a_server_of_others_may_be_away(tmp_path: Path) -> None:
    """Longer than Prefect's runner tolerates by itself: it would end the runs, and cancel none any more."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    with prefect_server(tmp_path, port) as server, serving(tmp_path / "data", url) as serve:
        run = start_until(serve, tmp_path / "data", "warmup", LONG)
        server.kill()
        wait_until(lambda: f"the Prefect server at {url} does not answer" in serve.said())
        process = serve.flow_processes()[0]
        with pytest.raises(psutil.TimeoutExpired):
            process.wait(timeout=40)
        with prefect_server(tmp_path, port):
            wait_until(lambda: f"the Prefect server at {url} answers again" in serve.said())
            serve.api.cancel(run)
            serve.api.wait_for(run, "Cancelled", seconds=90)
            assert gone([process])
            assert serve.said().count("does not answer") == 1


def test_a_second_serve_warns_and_leaves_the_runs_of_the_first_alone(url: str, tmp_path: Path) -> None:
    with serving(tmp_path / "one", url) as first:
        run = start_until(first, tmp_path / "one", "warmup", LONG)
        with serving(tmp_path / "one", url) as second:
            warnings = [line for line in second.said().splitlines() if line.startswith("warning:")]
            assert len(warnings) == 1
            assert "factory/tiny" in warnings[0]
            assert "another process already serves" in warnings[0]
            second.end(signal.SIGTERM)
        with serving(tmp_path / "two", url, wait=False) as third:
            assert third.process.wait(120) == 1
            said = third.said()
            assert f"for the runs in {tmp_path / 'one'}" in said
            assert "serving tiny" not in said
        folder = first.api.deployments()["tiny"]["parameters"]["data_dir"]
        assert folder == str(tmp_path / "one"), "the form is as it was"
        assert first.api.state(run)["name"] == "Running"
        assert "warning:" not in first.said(), "the first one had nobody beside it"
        first.end(signal.SIGTERM)
    with serving(tmp_path / "two", url) as alone:
        assert "warning:" not in alone.said(), "the first one is gone"
