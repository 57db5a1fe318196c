"""SQL that tries to leave the store, and what becomes of it: python -m benchmarks.security [--beside FOLDER]

Each attack of benchmarks/attacks.py is one `steca sql` on a small store: here, and with --beside in another checkout
(version 0.3.0, say, as a git worktree), and once on DuckDB alone. Came through: it read a secret beside the store, or
wrote there. Tried: it was not refused, and failed by chance, as where there is no network.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import duckdb

from benchmarks.attacks import ATTACKS, Outside
from benchmarks.checkouts import HERE, environment_of, steca_of
from storage.records import TaskRecord
from storage.shards import ShardStore
from storage.sql.query_errors import STAYING
from storage.store import Store

OUTCOMES = ("came through", "tried", "refused")


def small_store(root: Path) -> Path:
    """A published store with one row."""
    task = TaskRecord(task_id="t", world="w", split="train", task_type="k", instruction="i", payload="{}")
    ShardStore(root).write_batch("demonstrate-1", "b0", [task])
    Store(root).ingest()
    return root


def on_the_command_line(checkout: Path, root: Path) -> Callable[[str], str]:
    """`steca sql` of a checkout: what it prints."""

    def ask(sql: str) -> str:
        done = subprocess.run(
            [*steca_of(checkout), "sql", sql, "--data-dir", str(root)],
            cwd=checkout,
            env=environment_of(checkout),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout + done.stderr

    return ask


def by_duckdb_alone(root: Path) -> Callable[[str], str]:
    """DuckDB as a program opens the file that knows nothing of the guard."""

    def ask(sql: str) -> str:
        with duckdb.connect(root / "trajectories.duckdb", read_only=True) as connection:
            try:
                return str(connection.execute(sql).fetchall())
            except duckdb.Error as error:
                return f"error: {error}"

    return ask


def tried(ask: Callable[[str], str], outside: Outside) -> dict[str, Counter[str]]:
    """By kind, how many attacks ended how."""
    found: dict[str, Counter[str]] = {}
    for kind, attacks in ATTACKS.items():
        found[kind] = Counter()
        for attack in attacks:
            said = ask(outside.sql(attack))
            through = outside.came_through(said)
            found[kind]["came through" if through else "refused" if _refused(said) else "tried"] += 1
    return found


def _refused(said: str) -> bool:
    return " ".join(STAYING.split()) in " ".join(said.split()) or "only one result can be printed" in said


def main() -> None:
    parser = argparse.ArgumentParser(description="SQL that tries to leave the store.")
    parser.add_argument("--beside", type=Path, help="another checkout, whose `steca sql` is measured too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steca-security-") as folder:
        root, outside = small_store(Path(folder) / "data"), Outside.made(Path(folder) / "outside")
        ways = {"here": on_the_command_line(HERE, root), "DuckDB alone": by_duckdb_alone(root)}
        if given.beside:
            ways = {str(given.beside): on_the_command_line(given.beside.resolve(), root), **ways}
        print(f"{'':30}{'kind':12}{'attacks':>8}" + "".join(f"{outcome:>14}" for outcome in OUTCOMES))
        for way, ask in ways.items():
            for kind, counts in tried(ask, outside).items():
                numbers = "".join(f"{counts[outcome]:14}" for outcome in OUTCOMES)
                print(f"{way[-29:]:30}{kind:12}{counts.total():8}{numbers}", flush=True)


if __name__ == "__main__":
    main()
