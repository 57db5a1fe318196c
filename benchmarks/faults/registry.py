"""The kinds of faults, in the order of the table. A new kind is a file in kinds/ and a line here."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.faults.bench import Bench
from benchmarks.faults.kinds.clocks import clocks
from benchmarks.faults.kinds.controls import controls
from benchmarks.faults.kinds.damage import damaged_results, half_written
from benchmarks.faults.kinds.full_disk import full_disk
from benchmarks.faults.kinds.kills import kills
from benchmarks.faults.kinds.prefect import prefect_restarts
from benchmarks.faults.kinds.served import served
from benchmarks.faults.kinds.together import together
from benchmarks.faults.kinds.workers import workers
from benchmarks.faults.outcome import Outcome

KINDS: dict[str, Callable[[Bench, Outcome], None]] = {
    "kill -9": kills,
    "factories at once": together,
    "full disk": full_disk,
    "damaged results": damaged_results,
    "half-written files": half_written,
    "clock steps": clocks,
    "Prefect server restarted": prefect_restarts,
    "worker killed": workers,
    "policy's server killed": served,
    "controls (noticed)": controls,
}
SHORT = ("kill -9", "damaged results", "half-written files", "controls (noticed)")
"""The kinds of the short form."""
