"""What docker-compose.yml describes, really started: the server on Postgres, the worker, and factory runs through it
while each part is killed. No container engine is needed (tests/support/compose_here/).

Slow, with the install of the worker: `make compose-here`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from configs.stages import STAGES
from tests.support.compose_here.api import ServerApi
from tests.support.compose_here.factory_run import DEPLOYMENT, FactoryRun
from tests.support.compose_here.stack import Stack, find_postgres, stack
from tests.support.tiny_factory import ROOT

POSTGRES = find_postgres()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        POSTGRES is None, reason="Postgres is not installed here; with Debian: apt-get install postgresql"
    ),
]


@pytest.fixture(scope="module")
def up() -> Iterator[Stack]:
    assert POSTGRES is not None
    with stack(ROOT, POSTGRES) as made:
        made.up()
        yield made


@pytest.fixture(scope="module")
def api(up: Stack) -> ServerApi:
    return ServerApi(up.api)


@pytest.fixture(scope="module")
def undisturbed(up: Stack) -> FactoryRun:
    run = FactoryRun(up, ".")
    run.start()
    assert run.end() == "COMPLETED"
    return run


def test_server_and_worker_have_the_same_prefect(up: Stack, api: ServerApi) -> None:
    worker = up.containers["worker"]
    code = "import prefect; print(prefect.__version__)"
    done = subprocess.run(
        ["python", "-c", code], env=worker.environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == api.get("/admin/version")


def test_no_process_is_of_root_and_the_code_is_not_the_workers(up: Stack) -> None:
    for container in up.containers.values():
        assert {each.uids().effective for each in container.processes()} != {0}
        assert 0 not in {each.uids().effective for each in container.processes()}
    if os.geteuid() == 0:
        assert (up.data.parent / "flows" / "factory.py").stat().st_uid == 0
        assert up.data.stat().st_uid != 0


def test_postgres_asks_for_the_password(up: Stack) -> None:
    assert psql(up, "SELECT count(*) > 0 FROM deployment").stdout.strip() == "t"
    refused = psql(up, "SELECT 1", PGPASSWORD="another")
    assert refused.returncode != 0
    assert "password authentication failed" in refused.stderr


def psql(up: Stack, sql: str, **changed: str) -> subprocess.CompletedProcess[str]:
    postgres = up.containers["postgres"].environment
    names = {"PGHOST": up.places.addresses["postgres"], "PGUSER": postgres["POSTGRES_USER"]}
    more = {"PGDATABASE": postgres["POSTGRES_DB"], "PGPASSWORD": postgres["POSTGRES_PASSWORD"]}
    return subprocess.run(
        ["psql", "-tAc", sql], env=postgres | names | more | changed, capture_output=True, text=True
    )


def test_a_run_through_the_worker_fills_the_store(undisturbed: FactoryRun) -> None:
    assert undisturbed.stages() == dict.fromkeys(STAGES, "completed")
    counts = {table: len(rows) for table, rows in undisturbed.rows().items()}
    assert (
        min(counts[table] for table in ("trajectories", "rollouts", "training_examples", "evaluations")) > 0
    )


def test_its_page_links_to_the_store_that_the_service_view_shows(up: Stack, undisturbed: FactoryRun) -> None:
    run = undisturbed.folder.run_id
    pages = undisturbed.api.post("/artifacts/filter", artifacts={"type": {"any_": ["markdown"]}})
    assert f"http://localhost:4300/#/run/{run}" in "\n".join(each["data"] for each in pages)
    shown = httpx.get(f"http://{up.places.addresses['view']}:4300/api/runs/{run}", verify=False)
    assert shown.json()["status"] == "completed"


@pytest.mark.parametrize("part", ["postgres", "server", "worker"])
def test_a_run_loses_nothing_when_a_part_is_killed(up: Stack, undisturbed: FactoryRun, part: str) -> None:
    run = FactoryRun(up, f"killed-{part}")
    run.start()
    run.wait_for_batch("score")
    up.containers[part].kill()
    written = {path: path.stat().st_mtime_ns for path in run.batches()}
    assert up.restart_what_ended() == [part]
    state = run.end()
    if state == "CRASHED":
        ServerApi(up.api).retry(run.id)
        state = run.end()
    assert state == "COMPLETED"
    assert run.stages() == dict.fromkeys(STAGES, "completed")
    assert run.rows() == undisturbed.rows()
    again = [path for path, when in written.items() if path.stat().st_mtime_ns != when]
    assert len(again) <= 1, "a finished batch was computed again"
    assert up.all_healthy()


def test_history_and_schedules_survive_down_and_up(
    up: Stack, api: ServerApi, undisturbed: FactoryRun
) -> None:
    deployment = api.deployments()[DEPLOYMENT]["id"]
    api.add(f"/deployments/{deployment}/schedules", {"schedule": {"cron": "0 3 * * *"}, "active": True})
    api.change("/work_pools/steca", concurrency_limit=3)
    api.change(
        f"/deployments/{deployment}",
        parameters={**api.deployments()[DEPLOYMENT]["parameters"], "budget_rollouts": 9000},
    )
    before = known(api)
    run = FactoryRun(up, "stopped")
    run.start()
    run.wait_for_batch("score")
    took = up.down()
    assert [name for name, seconds in took.items() if seconds >= up.containers[name].stop_seconds] == []
    assert {name: container.processes() for name, container in up.containers.items()} == {
        name: [] for name in took
    }
    assert "database system is shut down" in up.containers["postgres"].last_lines()

    up.up()
    assert known(api) == before
    assert api.get(f"/flow_runs/{undisturbed.id}")["state_type"] == "COMPLETED"
    assert run.end() == "CRASHED"
    api.retry(run.id)
    assert run.end() == "COMPLETED"
    assert run.rows() == undisturbed.rows()


def known(api: ServerApi) -> Any:
    """What people set in the UI."""
    limit = api.get("/work_pools/steca")["concurrency_limit"]
    return limit, {
        name: (
            one["id"],
            one["parameters"],
            [(each["schedule"], each["active"]) for each in one["schedules"]],
        )
        for name, one in api.deployments().items()
    }
