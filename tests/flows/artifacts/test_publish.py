"""Pages reach the Prefect server from inside a flow run, and no fault on the way stops the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prefect import flow
from prefect.context import SyncClientContext
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from configs.schema import FactoryConfig
from flows.artifacts.page import Page
from flows.artifacts.publish import publish
from flows.artifacts.run_page import publish_run
from flows.artifacts.stage_page import publish_stage
from flows.runs.run import run_id
from storage.faults import StorageFault


def in_a_flow(work: Callable[[], None]) -> str:
    """Runs `work` in a flow run, which must complete. Returns the flow run's id."""
    from prefect.runtime import flow_run

    @flow(name="page")
    def page() -> str:
        work()
        return str(flow_run.id)

    return page()


def artifacts(api: str, flow_run_id: str) -> list[dict[str, str]]:
    wanted = {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}}}
    return httpx.post(f"{api}/artifacts/filter", json=wanted).json()


@pytest.fixture
def warnings() -> Iterator[list[logging.LogRecord]]:
    """What the run's logger is told."""
    found: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    handler = Keep(logging.WARNING)
    logger = logging.getLogger("prefect.flow_runs")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def test_pages_are_artifacts_of_the_flow_run(finished: FactoryConfig, prefect_api: str) -> None:
    run = run_id(finished)

    def both() -> None:
        publish_run(finished.data_dir, run, cached=False)
        publish_stage(finished.data_dir, run, "rewards", 1)

    found = {each["key"]: each for each in artifacts(prefect_api, in_a_flow(both))}
    assert set(found) == {f"{run}-results", f"{run}-rewards-1"}
    for each in found.values():
        assert each["type"] == "markdown"
        assert each["data"].startswith("# ")
        assert each["description"]
        assert "\n" not in each["description"]


def test_nothing_is_made_outside_of_a_flow_run(tmp_path: Path) -> None:
    publish(lambda: pytest.fail("made a page that nobody can see"), "a run")
    publish_run(tmp_path / "nowhere", "no-such-run", cached=False)


def damaged_store(root: Path) -> None:
    (root / "trajectories.duckdb").write_bytes(b"no database")


def damaged_run_file(root: Path) -> None:
    next(root.glob("runs/*/run.json")).write_text("{")


def no_store(root: Path) -> None:
    (root / "trajectories.duckdb").unlink()


@pytest.mark.parametrize("damage", [damaged_store, damaged_run_file, no_store])
def test_a_damaged_store_gives_a_log_line(
    damage: Callable[[Path], None], copied: FactoryConfig, prefect_api: str, warnings: list[logging.LogRecord]
) -> None:
    damage(copied.data_dir)
    run = run_id(copied)

    def all_pages() -> None:
        publish_run(copied.data_dir, run, cached=False)
        publish_stage(copied.data_dir, run, "evaluate", 1)

    assert not artifacts(prefect_api, in_a_flow(all_pages))
    assert len(warnings) == 2
    assert f"the page of run {run} was not published: " in warnings[0].getMessage()
    assert f"the page of stage evaluate of run {run} was not published: " in warnings[1].getMessage()
    assert not any(record.exc_info for record in warnings), "expected faults need no traceback"


def test_a_server_that_is_away_gives_a_log_line(
    finished: FactoryConfig, prefect_api: str, warnings: list[logging.LogRecord]
) -> None:
    away = {
        PREFECT_API_URL: "http://127.0.0.1:9/api",
        PREFECT_CLIENT_MAX_RETRIES: 0,
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }

    def without_server() -> None:
        kept = SyncClientContext.__var__.set(None)  # the run's own client, whose server is there
        try:
            with temporary_settings(away):
                publish_stage(finished.data_dir, run_id(finished), "explore", 1)
        finally:
            SyncClientContext.__var__.reset(kept)

    assert not artifacts(prefect_api, in_a_flow(without_server))
    (warning,) = warnings
    assert "was not published: " in warning.getMessage()
    assert not warning.exc_info


def test_a_defect_is_logged_with_its_traceback(prefect_api: str, warnings: list[logging.LogRecord]) -> None:
    def defect() -> Page:
        raise ZeroDivisionError("made up")

    in_a_flow(lambda: publish(defect, "run x"))
    (warning,) = warnings
    assert "the page of run x was not published, by a defect" in warning.getMessage()
    assert warning.exc_info
    assert warning.exc_info[0] is ZeroDivisionError


def test_a_fault_of_the_store_has_its_reason(prefect_api: str, warnings: list[logging.LogRecord]) -> None:
    def fault() -> Page:
        raise StorageFault("nothing is published in data yet")

    in_a_flow(lambda: publish(fault, "run x"))
    assert [each.getMessage() for each in warnings] == [
        "the page of run x was not published: nothing is published in data yet"
    ]
