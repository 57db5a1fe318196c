"""The environment of Prefect for a run from the command line: private, quiet, its folder next to the data."""

from __future__ import annotations

import importlib.util
import logging
import os
from pathlib import Path

from flows.faults import StageFault
from flows.server import settings
from models.processes.loopback import bypass_proxy_for_loopback
from tasks.prefect_internals import (
    EVENTS_CLIENT,
    INTERNAL_LOGGER,
    QUEUE_LOGGERS,
    RUN_LOGGERS,
    set_up_logging,
)

AWAY = "the Prefect server does not answer; the run goes on, and the UI will lack what happens meanwhile"
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 s, the default, is exceeded on slow machines
    "PREFECT_CLI_WEB_OPEN": "false",
}


def prepare(data_dir: Path) -> None:
    """Set the environment; must come before the first import of Prefect. What the user set stays. Raises StageFault
    where a setting cannot work."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    bypass_proxy_for_loopback()
    _check_proxies()
    home = prefect_home(data_dir)
    if home.exists() and not home.is_dir():
        named = settings.home()
        source = f" (from {named.source})" if named else ""
        raise StageFault(f"Prefect's folder {home}{source} is a file: name a folder, or move the file away")
    if not settings.api_url() and not settings.home():
        os.environ["PREFECT_HOME"] = str(home)


def prefect_home(data_dir: Path) -> Path:
    """Prefect's folder: the configured one, else one next to the data."""
    named = settings.home()
    return Path(named.value).expanduser() if named else data_dir.expanduser().resolve() / "prefect"


def _check_proxies() -> None:
    """Prefect's client and OpenAI's stop at a SOCKS proxy that they cannot use, also where none is needed."""
    for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"):
        value = os.environ.get(name.lower()) or os.environ.get(name, "")
        if value.startswith("socks") and importlib.util.find_spec("socksio") is None:
            raise StageFault(
                f"{name} is a SOCKS proxy, which needs the package socksio: install it, or unset {name}"
            )


def quiet() -> None:
    """Limit Prefect's console output to warnings. The caller reports failures of runs in one line."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")
    set_up_logging()
    once = SaidOnce()
    for handler in logging.getLogger().handlers:
        handler.addFilter(_not_of_a_run)
        handler.addFilter(once)
    for handler in logging.getLogger(INTERNAL_LOGGER).handlers:
        handler.addFilter(once)


class SaidOnce(logging.Filter):
    """Says once that the server is away, instead of kilobytes for each event that cannot be sent."""

    def __init__(self) -> None:
        super().__init__()
        self._said = False

    def filter(self, record: logging.LogRecord) -> bool:
        if not _is_about_events(record):
            return True
        record.msg, record.args, record.exc_info = AWAY, (), None
        first, self._said = not self._said, True
        return first


def _is_about_events(record: logging.LogRecord) -> bool:
    of_a_queue = any(name in record.getMessage() for name in QUEUE_LOGGERS)
    return record.name == EVENTS_CLIENT or (record.name.startswith(INTERNAL_LOGGER) and of_a_queue)


def _not_of_a_run(record: logging.LogRecord) -> bool:
    """Whether a record is neither of a run nor of the queues that report to the server, which warn about what they
    could not send at the end."""
    return not record.name.startswith((*RUN_LOGGERS, *QUEUE_LOGGERS))
