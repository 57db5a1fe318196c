"""How `steca compare` ends: what came out in one line, and the commands that come next."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from configs.comparison import WARM_UP
from flows.compare.rates import difference, rate
from flows.compare.results import BEGINNING, Results
from flows.wording import counted, in_folder
from storage.store import Store

EXAMPLE = """
SELECT example_id FROM run_training_examples JOIN comparisons USING (run_id)
WHERE comparison = ? AND dataset = 'calibrated' ORDER BY ALL LIMIT 1
"""


def headline(results: Results) -> str:
    """Where two arms are compared: their success on the last split, usually the unseen tasks. Else ""."""
    others = [row for row in results.rows if row not in (WARM_UP, results.header.reference)]
    if len(others) != 1 or results.header.reference not in results.rows:
        return ""
    [arm], split = others, results.splits[-1]
    found = {row: rate(results, row, split, BEGINNING) for row in (arm, results.header.reference)}
    paired = difference(results, arm, split, BEGINNING)
    if not paired or not all(found.values()):
        return ""
    won = ", ".join(f"{row} {100 * share.rate:.1f} %" for row, share in found.items() if share)
    change = f"{100 * paired.mean:+.1f} points (95 %: {100 * paired.low:+.1f} to {100 * paired.high:+.1f})"
    return f"{split} tasks won: {won}: {change}, {counted(len(results.seeds), 'seed')}"


def next_commands(results: Results, store: Store) -> Iterator[str]:
    """Commands to paste, each with what it shows."""
    steca, folder = _program(), in_folder(store.root)
    yield f'{steca} sql{folder} "FROM success_change"  # what training changed, on the same tasks'
    for (example,) in store.query(EXAMPLE, [results.header.name])[1]:
        yield f"{steca} trace{folder} {example}  # a repaired training example, and every rollout behind it"
    yield f"{steca} view{folder}  # all runs, verdicts and trajectories in the browser"
    yield f"{steca} serve{folder}  # the same beside the Prefect UI, which starts and stops runs"


def _program() -> str:
    """`steca` as it can be typed here: also where its environment is not active."""
    started = sys.argv[0]
    return started if Path(started).name == "steca" and not shutil.which("steca") else "steca"
