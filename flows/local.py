"""Prefect's surroundings for a run from the command line: private, quiet, and next to the data."""

from __future__ import annotations

import logging
import os
from pathlib import Path

SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 s, the default, is exceeded on slow machines
    "PREFECT_CLI_WEB_OPEN": "false",
}


def prepare(data_dir: Path) -> None:
    """Set the environment; must come before the first import of Prefect. What the user set stays."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if "PREFECT_API_URL" not in os.environ:
        os.environ.setdefault("PREFECT_HOME", str(data_dir.expanduser().resolve() / "prefect"))


def quiet() -> None:
    """Keep Prefect's console lines down to warnings; the runs' own failures are reported by the caller, in one line."""
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")
    from prefect.logging.configuration import ensure_logging_setup

    ensure_logging_setup()  # or the handlers would come with the first flow, after the filter
    for handler in logging.getLogger().handlers:
        handler.addFilter(_not_of_a_run)


def _not_of_a_run(record: logging.LogRecord) -> bool:
    return not record.name.startswith(("prefect.flow_runs", "prefect.task_runs"))
