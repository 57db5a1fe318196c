"""Tries many inputs of every kind and prints what came of them: python -m tests.fuzz [--examples 10000] [--only KIND]

Ends with status 1 where an input ended in a traceback or hung; then it shows the first input of each place.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile

from tests.fuzz.trying import Tried, try_many

COLUMNS = ("kind", "examples", "accepted", "faults", "tracebacks", "hangs", "seconds", "slowest")


def main() -> int:
    parser = argparse.ArgumentParser(description="Made-up inputs for every boundary.")
    parser.add_argument("--examples", type=int, default=10_000, help="inputs of each kind")
    parser.add_argument("--only", default="", help="kinds whose name begins so")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="steca-fuzz-") as folder:
        tempfile.tempdir = folder
        from tests.fuzz.kinds import KINDS

        print("{:34}{:>9}{:>9}{:>8}{:>11}{:>6}{:>8}{:>9}".format(*COLUMNS), flush=True)
        tried = {
            name: _shown(name, try_many(kind, given.examples))
            for name, kind in KINDS.items()
            if name.startswith(given.only)
        }
    for name, one in tried.items():
        for what, (made, said) in one.wrong.items():
            print(f"\n{name}: {one.counts[what]} times {what}\ninput: {made!r:.400}\n{said[-3000:]}")
    return int(any(one.tracebacks or one.hangs for one in tried.values()))


def _shown(name: str, tried: Tried) -> Tried:
    print(
        f"{name:34}{tried.examples:9,}{tried.accepted:9,}{tried.faults:8,}{tried.tracebacks:11,}{tried.hangs:6,}"
        f"{tried.seconds:8.0f}{tried.slowest * 1000:6.0f} ms",
        flush=True,
    )
    return tried


if __name__ == "__main__":
    sys.exit(main())
