"""One Prefect server and one finished tiny factory run, shared by all tests of a session, in all workers."""

from __future__ import annotations

import gc
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from duckdb import DuckDBPyConnection

from configs.schema import BudgetConfig, FactoryConfig
from configs.stages import STAGES
from tasks.prefect_internals import drain_queues
from tests.support.comparisons import comparison_file
from tests.support.old_folders import unpack
from tests.support.pictures_once import draw_once
from tests.support.shared import SharedFolder, is_worker, listing, stop_process
from tests.support.tiny_factory import ROOT, STECA, TINY, Served, tiny

# Before anything imports torch or Prefect: one thread, nothing sent anywhere, nothing written to the user's home.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
# In memory where that is possible: setting up the server's database is hundreds of small synced writes.
_MEMORY = "/dev/shm"
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(
    prefix="steca-tests-prefect-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None
)
os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
os.environ.pop("PREFECT_API_URL", None)
# By default `steca serve` polls for scheduled runs every ten seconds.
os.environ["PREFECT_RUNNER_POLL_FREQUENCY"] = "1"
gc.disable()  # while everything is imported, none of which is garbage


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record",
        action="store_true",
        help="write tests/fixtures/tiny-run.json anew (see tests/support/recorded_run.py)",
    )


OFFERED = 1 + len(STAGES) + 1
"""Deployments of the shared server: the tiny configuration, every stage, comparisons."""
LONGEST_FIRST = ("flows/test_serve.py", "cli/test_what_if.py", "storage/test_decide.py")
"""Files that start first when tests run in several workers: one waits for the server while another computes."""


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # xdist would sort files by their number of tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first, so that no worker is left alone with one at the end; then files that need the server; then the
    others. Larger files come before smaller ones."""
    sizes = Counter(item.path for item in items)
    served = {item.path for item in items if "served" in getattr(item, "fixturenames", ())}

    def place(item: pytest.Item) -> tuple[int, int]:
        name = item.path.relative_to(Path(__file__).parent).as_posix()
        if name in LONGEST_FIRST:
            return LONGEST_FIRST.index(name), 0
        return len(LONGEST_FIRST) + (item.path not in served), -sizes[item.path]

    items.sort(key=lambda item: (*place(item), str(item.path)))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Every process removes its PREFECT_HOME, but not that of the shared server: the controller, or the only process,
    stops the server after all workers are done, whatever became of them, and removes its folder."""
    folder = SharedFolder(session.config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
    made = folder.made("served")
    _, _, pid, home = json.loads(made) if made else ("", "", 0, "")
    if os.environ["PREFECT_HOME"] != home:
        shutil.rmtree(os.environ["PREFECT_HOME"], ignore_errors=True)
    if pid:
        drain_queues()  # or Prefect would try for a minute to reach the stopped server
    if pid and not is_worker():
        stop_process(pid)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def shared(tmp_path_factory: pytest.TempPathFactory) -> SharedFolder:
    """The folder that all workers share."""
    return SharedFolder(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session", autouse=True)
def _new_stores(shared: SharedFolder) -> Iterator[None]:
    """New stores of a test process begin as copies of one that was made as always: its tables and 500 views take a
    quarter of a second, and hundreds of tests have a store. `tests/storage/test_migrations.py` makes each anew."""
    from storage.sql.schema import open_database

    def make(folder: Path) -> str:
        open_database(folder / "new.duckdb").close()
        return str(folder / "new.duckdb")

    new = Path(shared.once("new-store", make)[0])

    def opened(path: Path) -> DuckDBPyConnection:
        if not path.exists():
            shutil.copyfile(new, path)
        return open_database(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.store.open_database", opened)
        yield


@pytest.fixture(scope="module", autouse=True)
def _settled_objects() -> None:
    """Keeps everything that exists before a test file out of garbage collection. Every training collects twice, and
    with all imported modules each collection would take half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def served(shared: SharedFolder) -> Served:
    """`steca serve` with its own server on a free port, ready when all deployments are offered. One server for all
    workers; `pytest_sessionfinish` stops it."""

    def serve(data_dir: Path) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = data_dir / "serve.log"
        configs = offered_configs(data_dir / "configs")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*STECA, "serve", "--port", str(port), "--data-dir", str(data_dir), "--configs", str(configs)],
                cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        api = f"http://127.0.0.1:{port}/api"
        try:
            _wait_until_offered(process, api, log)
        except BaseException:
            stop_process(process.pid)
            raise
        return json.dumps([api, str(data_dir), process.pid, os.environ["PREFECT_HOME"]])

    api, data_dir, *_ = json.loads(shared.once("served", serve)[0])
    return Served(api, Path(data_dir))


def offered_configs(folder: Path) -> Path:
    """A folder of configurations to serve: the tiny one, and a comparison with it."""
    (folder / "compare").mkdir(parents=True)
    shutil.copy(TINY, folder / "tiny.yaml")
    comparison_file(folder / "compare")
    return folder


def _wait_until_offered(process: subprocess.Popen[bytes], api: str, log: Path) -> None:
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if len(httpx.post(f"{api}/deployments/filter", json={}, verify=False).json()) == OFFERED:
                return
        except (httpx.TransportError, ValueError):
            pass
        time.sleep(0.5)
    raise AssertionError(f"steca serve offered nothing in time:\n{log.read_text()}")


@pytest.fixture(scope="session")
def prefect_api(served: Served) -> Iterator[str]:
    """Flows called in this process, and in processes that it starts, use the shared server. Heartbeats are off: at the
    end of each flow Prefect waits up to a second for the thread that sends them. The server answers 503 where two
    processes write at once; this process tries again sooner than the two to thirty-two seconds that Prefect waits, and
    more often, for about the minute in all that Prefect's own five retries take."""
    os.environ["PREFECT_API_URL"] = served.api
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_CLIENT_MAX_RETRIES,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    settings = {
        PREFECT_API_URL: served.api,
        PREFECT_CLIENT_MAX_RETRIES: 30,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }
    with temporary_settings(settings), pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "prefect.client.base.clamped_poisson_interval", lambda seconds, _factor: min(seconds / 20, 2)
        )
        draw_once(patch)
        yield served.api
    del os.environ["PREFECT_API_URL"]


@pytest.fixture(scope="session")
def finished(prefect_api: str, shared: SharedFolder) -> Iterator[FactoryConfig]:
    """The configuration of a finished tiny run, one for all workers. Tests only read its folder; a test that changes
    something takes `copied`."""

    def run(data_dir: Path) -> str:
        from flows.factory import factory

        factory(tiny(data_dir))
        return str(data_dir)

    data_dir = Path(shared.once("finished", run)[0])
    before = listing(data_dir)
    yield tiny(data_dir)
    assert listing(data_dir) == before, "a test changed the shared run; use the fixture `copied` there"


@pytest.fixture
def copied(finished: FactoryConfig, tmp_path: Path) -> FactoryConfig:
    """The finished run in the test's own data folder. Another worker may look something up in the run meanwhile, and
    hold its lock."""
    shutil.copytree(finished.data_dir, tmp_path / "copied", ignore=shutil.ignore_patterns("*.holder"))
    return finished.model_copy(update={"data_dir": tmp_path / "copied"})


@pytest.fixture(scope="session")
def _stopped(finished: FactoryConfig, shared: SharedFolder) -> FactoryConfig:
    def run(folder: Path) -> str:
        from flows.factory import factory

        data_dir = folder / "data"
        shutil.copytree(finished.data_dir, data_dir)
        factory(small(data_dir))
        return str(data_dir)

    return small(Path(shared.once("stopped", run)[0]))


def small(data_dir: Path) -> FactoryConfig:
    return tiny(data_dir, "seed=5", "name=small").model_copy(update={"budget": BudgetConfig(rollouts=7)})


@pytest.fixture
def stopped(_stopped: FactoryConfig, tmp_path: Path) -> FactoryConfig:
    """In the test's own data folder: the finished run, and a second one with this configuration, whose stage rewards
    was stopped by a budget of 7 rollouts."""
    shutil.copytree(_stopped.data_dir, tmp_path / "stopped")
    return _stopped.model_copy(update={"data_dir": tmp_path / "stopped"})


@pytest.fixture
def data_030(tmp_path: Path) -> Path:
    """A data folder that version 0.3.0 made: one finished tiny run."""
    return unpack("data-0.3.0", tmp_path)


@pytest.fixture
def poisoned_030(tmp_path: Path) -> Path:
    """One in which two trainings gave equal weights: no ingest of 0.3.0 succeeds there."""
    return unpack("data-0.3.0-poisoned", tmp_path)
