"""Whether another process polls for the runs of the same deployments: a second `steca serve`, for example."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

LATE = 1.3
"""Prefect polls after up to this many times the frequency that is set."""
SLACK_SECONDS = 3.0


def polled_by_others(client: SyncPrefectClient, deployments: Mapping[str, UUID]) -> list[str]:
    """The names of the deployments that another process serves. Must be called before this process polls. The server
    notes when a deployment was last polled: if that was long ago, nobody serves it. If it was just now, as after a
    restart, wait for the next poll."""
    from prefect.settings import PREFECT_RUNNER_POLL_FREQUENCY

    rhythm = timedelta(seconds=PREFECT_RUNNER_POLL_FREQUENCY.value() * LATE + SLACK_SECONDS)
    before = _polled(client, deployments)
    recent = {name: at for name, at in before.items() if at > datetime.now(UTC) - rhythm}
    while recent and datetime.now(UTC) < max(recent.values()) + rhythm:
        now = _polled(client, {name: deployments[name] for name in recent})
        if again := [name for name in recent if now.get(name, recent[name]) > recent[name]]:
            return sorted(again)
        time.sleep(0.5)
    return []


def _polled(client: SyncPrefectClient, deployments: Mapping[str, UUID]) -> dict[str, datetime]:
    read = {name: client.read_deployment(one).last_polled for name, one in deployments.items()}
    return {name: at for name, at in read.items() if at}
