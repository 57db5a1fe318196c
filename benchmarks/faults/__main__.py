"""Faults, measured: what becomes of a run when processes are killed, files damaged, disks full, servers gone.

    python -m benchmarks.faults [--short] [--kind NAME ...] [--seed N] [--checkout FOLDER]

Each fault happens to whole commands on a tiny configuration, with a reader at 10 Hz beside it. Then the run is started
again: it must complete, its rows must equal those of an undisturbed run, and at most the batches in flight may have
been played again. A kind that fails does not keep the others from being tried. `--checkout`: another version of steca.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.checkouts import HERE
from benchmarks.faults.bench import Bench
from benchmarks.faults.outcome import Outcome, Skipped, table
from benchmarks.faults.registry import KINDS, SHORT
from benchmarks.faults.running import Hangs
from benchmarks.measuring import machine
from tests.support.serving import free_port, prefect_server

FAILURES = (
    AssertionError,
    Hangs,
    OSError,
    RuntimeError,
    StopIteration,
    ValueError,
    subprocess.SubprocessError,
)


def tried(bench: Bench, kind: str) -> Outcome:
    """One kind of fault. What goes wrong is a line of its own below the table."""
    outcome = Outcome(kind)
    try:
        KINDS[kind](bench, outcome)
    except Skipped as reason:
        outcome.skipped = str(reason)
    except FAILURES as error:
        outcome.problems.append(f"{type(error).__name__}: {error}")
    bench.say(outcome.line())
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a few faults of the cheaper kinds")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind; repeatable")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--checkout", type=Path, default=HERE, help="another checkout, whose `steca` is tried"
    )
    given = parser.parse_args()
    kinds = given.kind or (SHORT if given.short else list(KINDS))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="steca-faults-", ignore_cleanup_errors=True) as folder:
        scratch, port = Path(folder), free_port()
        with prefect_server(scratch, port):
            bench = Bench(
                given.checkout.resolve(), scratch, f"http://127.0.0.1:{port}/api", given.short, given.seed
            )
            outcomes = [tried(bench, kind) for kind in kinds]
    print(table(outcomes))
    print(f"{machine()}; seed {given.seed}; {(time.monotonic() - began) / 60:.0f} min")
    return int(any(outcome.problems for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
