"""Speed and memory of `steca export` at many rows: a finished run's rows, multiplied.

    python -m benchmarks.formats --data-dir data --run quickstart-steca --rows 1000000 --formats trl-sft,parquet

Each format is exported by a process of its own. MB are those of the files with rows, in 1e6 bytes; the peak is the
resident memory of the process, DuckDB's included.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from formats.rows.comparisons import Comparisons
from formats.rows.filters import Filters
from formats.rows.pairs import Pairs
from formats.rows.tasks import Tasks
from formats.rows.traces import Traces
from formats.targets.context import Context
from formats.targets.registry import TARGETS
from formats.writing.export import Request, export
from storage.runs import run_called
from storage.store import Store

IDS = {
    "tasks": ("task_id",),
    "trajectories": ("trajectory_id", "task_id"),
    "steps": ("trajectory_id",),
    "training_examples": (
        "example_id", "task_id", "trajectory_id", "contrast_trajectory_id", "calibration_id", "deviation_id",
    ),
    "calibrations": ("calibration_id", "deviation_id", "task_id", "trajectory_id"),
    "deviations": ("deviation_id", "task_id", "expert_trajectory_id", "explored_trajectory_id"),
}  # fmt: skip
"""The columns of each table that are other ids in every copy."""
OLD_NAMES = {"deviations": "EXCLUDE (expert_is_better, outcome)"}
"""Generated columns, which cannot be inserted."""
AT_ONCE = 50
"""Copies that are inserted by one statement."""
OF_SOURCE = {Pairs: "calibrations", Comparisons: "deviations", Traces: "trajectories", Tasks: "tasks"}
"""The table whose rows a format has; for others, training_examples."""


@dataclass(frozen=True)
class Measured:
    """One export: rows, bytes of the files with rows, seconds and the peak of the resident memory in bytes."""

    rows: int
    bytes: int
    seconds: float
    peak: int


READ = {
    "training_examples": """SELECT DISTINCT unnest([trajectory_id, contrast_trajectory_id])
        FROM run_training_examples WHERE run_id = $run""",
    "calibrations": """SELECT unnest([c.trajectory_id, d.explored_trajectory_id])
        FROM run_calibrations c JOIN deviations d USING (deviation_id) WHERE c.run_id = $run""",
    "deviations": "SELECT explored_trajectory_id FROM run_deviations WHERE run_id = $run",
    "trajectories": "SELECT trajectory_id FROM run_trajectories WHERE run_id = $run",
    "tasks": "SELECT min(trajectory_id) FROM run_trajectories WHERE run_id = $run GROUP BY task_id",
}
"""For each of these tables, the trajectories that an export of its rows reads."""
OF_RUN = {
    "training_examples": ("training_examples", "calibrations", "deviations"),
    "calibrations": ("calibrations", "deviations"),
    "deviations": ("deviations",),
}
"""For each, the other tables that such an export reads: their rows of the run."""


def originals(table: str) -> dict[str, str]:
    """The rows of each table that are multiplied, as a condition, for exports of the rows of `table`."""
    conditions = {
        "trajectories": "trajectory_id IN (FROM needed)",
        "tasks": "task_id IN (SELECT task_id FROM trajectories WHERE trajectory_id IN (FROM needed))",
        "steps": "trajectory_id IN (FROM needed)",
    }
    return conditions | dict.fromkeys(OF_RUN.get(table, ()), "provenance IN (FROM own)")


def multiplied(source: Path, root: Path, table: str, run: str, copies: int) -> None:
    """A store under `root` with `copies` of every row that an export of the rows of `table` reads. Step rewards stay as
    they are."""
    root.mkdir(parents=True)
    shutil.copyfile(Store(source).published, Store(root).published)
    shutil.copytree(source / "runs", root / "runs")
    with duckdb.connect(Store(root).published) as connection:
        connection.execute(f"CREATE TEMP TABLE needed AS {READ[table]}", {"run": run})
        connection.execute(
            "CREATE TEMP TABLE own AS SELECT provenance FROM run_provenance WHERE run_id = $run", {"run": run}
        )
        for name, condition in originals(table).items():
            connection.execute(
                f"CREATE OR REPLACE TEMP TABLE original AS SELECT * {OLD_NAMES.get(name, '')} "
                f"FROM {name} WHERE {condition}"
            )
            anew = ", ".join(f"left(md5({column} || n), 16) AS {column}" for column in IDS[name])
            for first in range(1, copies, AT_ONCE):
                connection.execute(
                    f"INSERT INTO {name} BY NAME SELECT o.* REPLACE ({anew}) FROM original o, range(?, ?) r(n)",
                    [first, min(first + AT_ONCE, copies)],
                )
        connection.execute("CHECKPOINT")


def table_of(name: str) -> str:
    return OF_SOURCE.get(TARGETS[name].source, "training_examples")


def measure(data: Path, run: str, name: str, out: Path) -> Measured:
    """Export in this process, and see what it took."""
    started = time.perf_counter()
    context: Context = "fold" if TARGETS[name].contexts else "refuse"
    report = export(Store(data), Request(name, run, out, Filters(), context))
    seconds = time.perf_counter() - started
    size = sum(file.stat().st_size for file in (out / "data").rglob("*") if file.is_file())
    return Measured(report.audit.rows, size, seconds, peak_memory())


def peak_memory() -> int:
    """Bytes. `ru_maxrss` would not do: it begins with that of the parent process."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def in_a_process(data: Path, run: str, name: str, out: Path) -> Measured:
    command = [sys.executable, "-m", "benchmarks.formats", "--one", str(data), run, name, str(out)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Measured(**json.loads(said.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--run", default="quickstart-steca")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--formats", default=",".join(TARGETS))
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        data, run, name, out = options.one
        print(json.dumps(asdict(measure(Path(data), run, name, Path(out)))))
        return
    run = run_called(options.data_dir, options.run)
    with tempfile.TemporaryDirectory(prefix="steca-formats-") as folder:
        compare(options.data_dir, run, options.rows, options.formats.split(","), Path(folder))


def compare(source: Path, run: str, rows: int, names: list[str], folder: Path) -> None:
    """Print one line a format. Formats of the same table share a store."""
    print(f"{'format':20} {'rows':>9} {'MB':>7} {'s':>7} {'MB/s':>6} {'rows/s':>7} {'peak MB':>8}")
    for table in dict.fromkeys(map(table_of, names)):
        ((known,),) = Store(source).query(f"SELECT count(*) FROM run_{table} WHERE run_id = ?", [run])[1]
        data = folder / table
        multiplied(source, data, table, run, -(-rows // known))
        for name in (name for name in names if table_of(name) == table):
            found = in_a_process(data, run, name, folder / name)
            rate = found.bytes / 1e6 / found.seconds
            print(
                f"{name:20} {found.rows:9} {found.bytes / 1e6:7.0f} {found.seconds:7.1f} {rate:6.1f} "
                f"{found.rows / found.seconds:7.0f} {found.peak / 1e6:8.0f}",
                flush=True,
            )
            shutil.rmtree(folder / name)
        shutil.rmtree(data)


if __name__ == "__main__":
    main()
