"""Whether calibration helps: STeCa against its controls, at equal training steps, over several seeds.

    python -m benchmarks.learning                   three seeds of the quick start (about 15 minutes each)
    python -m benchmarks.learning --seeds 5         another seed
    python -m benchmarks.learning --report          print the table of the stored results

Settings were chosen on the validation games of seeds 0 and 1; other seeds are reported. Every arm is a factory run with
the same warm-up policy, explorations, number of optimizer steps and held-out tasks; only the training set differs. Each
seed draws its own games. Results are queried from the store, and every test episode is saved, in one Parquet file per
seed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.table import Table

from benchmarks.intervals import difference, mean_interval
from cli.terminal.console import SafeConsole, make_console
from configs.load import load_config
from configs.schema import FactoryConfig
from storage.sql.store_names import VALUES

NONE = {"calibrated": False, "explored_successes": False, "expert_suffixes": False}
ARMS: dict[str, dict[str, Any]] = {
    "SFT": {"datasets": NONE},
    "RFT": {"datasets": {**NONE, "explored_successes": True}},
    "SFT+": {"datasets": {**NONE, "explored_expert_runs": True}},
    "STeCa, paper's rule": {"deviation": {"preset": "paper"}, "rewards": {"mode": "curtailed"}},
    "STeCa, proven deviations": {"deviation": {"preset": "sequential"}},
    "STeCa": {},
}
MEASURES = {
    "seen": ("seen", "beginning"),
    "unseen": ("unseen", "beginning"),
    "after deviation, seen": ("seen", "after_deviation"),
    "after deviation, unseen": ("unseen", "after_deviation"),
}
EPISODES = """
SELECT DISTINCT split, start, task_id, success, invalid_actions > 0 AS met_invalid
FROM run_evaluations WHERE run_id = $run AND role = $role ORDER BY ALL
"""
COLUMNS = ("arm", "split", "start", "task_id", "success", "met_invalid")
STARTS = VALUES["evaluations"]["start"]
RESULTS = Path(__file__).parent / "results" / "learning"
Episodes = list[tuple[str, str, str, bool, bool]]


def arm_config(base: FactoryConfig, seed: int, arm: str, folder: Path) -> FactoryConfig:
    """The configuration of one arm of one seed."""
    changed = base.model_dump()
    for section, values in ARMS[arm].items():
        changed[section] |= values
    words = re.findall(r"[a-z]+", arm.lower().replace("+", " plus").replace("'s", ""))
    changed |= {"name": "-".join(["learning", *words]), "seed": seed, "data_dir": folder}
    return FactoryConfig.model_validate(changed)


def measure(base: FactoryConfig, seed: int, folder: Path) -> dict[str, Episodes]:
    """Run all arms of one seed; the test episodes of each, and of the warm-up policy."""
    from cli.runtime import flow_runtime

    found: dict[str, Episodes] = {}
    console = make_console()
    with flow_runtime(folder, console, debug=False):
        from flows.factory import factory
        from storage.store import Store

        for arm in ARMS:
            console.print(f"seed {seed}: {arm}", style="bold")
            run = factory(arm_config(base, seed, arm, folder))
            for name, role in (("warm-up", "warmup"), (arm, "trained")):
                found[name] = [
                    tuple(row) for row in Store(folder).query(EPISODES, {"run": run, "role": role})[1]
                ]
    return found


def save(found: dict[str, Episodes], file: Path) -> None:
    """Save every episode of one seed."""
    rows = [(arm, *episode) for arm, episodes in found.items() for episode in episodes]
    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    pq.write_table(pa.table(columns, names=list(COLUMNS)), file, compression="zstd")


def saved(file: Path) -> dict[str, Episodes]:
    """The episodes of one seed, by arm."""
    found: dict[str, Episodes] = {}
    for row in pq.read_table(file).to_pylist():
        arm, split, start, task, success, met_invalid = (row[name] for name in COLUMNS)
        start = STARTS.get(start, start)  # files of versions before 0.4
        found.setdefault(arm, []).append((split, start, task, success, met_invalid))
    return found


def won(episodes: Episodes, measure: str) -> dict[str, bool]:
    """task id -> success, for the episodes of a measure."""
    split, start = MEASURES[measure]
    return {task: success for at, kind, task, success, _ in episodes if (at, kind) == (split, start)}


def recovered(episodes: Episodes) -> list[bool]:
    """Success of the from-scratch episodes with an invalid action, seen and unseen."""
    return [success for _, kind, _, success, invalid in episodes if kind == "beginning" and invalid]


def report(console: SafeConsole, seeds: dict[int, dict[str, Episodes]]) -> None:
    """Success of each arm that all seeds have, and the difference between STeCa and each of the others."""
    common = set.intersection(*(set(found) for found in seeds.values()))
    seeds = {seed: {arm: e for arm, e in found.items() if arm in common} for seed, found in seeds.items()}
    console.print(rates_table(seeds))
    console.print(differences_table(seeds))


def rates_table(seeds: dict[int, dict[str, Episodes]]) -> Table:
    table = Table("policy", title=f"Success, pooled over {len(seeds)} seeds, with 95 % Wilson interval")
    for heading in (*MEASURES, "recovery after invalid", "unseen by seed"):
        table.add_column(heading, justify="right")
    for arm in next(iter(seeds.values())):
        pooled = [[s for f in seeds.values() for s in won(f[arm], m).values()] for m in MEASURES]
        pooled.append([s for found in seeds.values() for s in recovered(found[arm])])
        by_seed = " ".join(
            f"{mean_interval(list(won(f[arm], 'unseen').values()))[0]:.2f}" for f in seeds.values()
        )
        table.add_row(arm, *(_cell(outcomes) for outcomes in pooled), by_seed)
    return table


def _cell(outcomes: list[bool]) -> str:
    mean, low, high = mean_interval(outcomes)
    return f"{mean:.3f} ({low:.3f}-{high:.3f}) n={len(outcomes)}"


def differences_table(seeds: dict[int, dict[str, Episodes]]) -> Table:
    table = Table(
        "STeCa minus", title="Difference on the same tasks, 95 % bootstrap interval over seeds and tasks"
    )
    for measure in MEASURES:
        table.add_column(measure, justify="right")
    for arm in next(iter(seeds.values())):
        if arm != "STeCa":
            cells = []
            for name in MEASURES:
                pairs = [(won(found["STeCa"], name), won(found[arm], name)) for found in seeds.values()]
                mean, low, high = difference(pairs)
                cells.append(f"{mean:+.3f} ({low:+.3f} to {high:+.3f})")
            table.add_row(arm, *cells)
    return table


def main(
    config: Annotated[Path, typer.Option(help="Configuration of the STeCa arm.")] = Path(
        "configs/quickstart.yaml"
    ),
    seeds: Annotated[list[int], typer.Option(help="Seeds to run.")] = [2, 3, 4],  # noqa: B006
    data: Annotated[Path, typer.Option(help="Folder for the runs' data, with one folder per seed.")] = Path(
        "data/learning"
    ),
    only_report: Annotated[
        bool, typer.Option("--report", help="Print the stored results without running anything.")
    ] = False,
) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    if not only_report:
        base = load_config(config, ["tasks.seen=300", "tasks.unseen=300"])
        for seed in seeds:
            save(measure(base, seed, data / f"seed-{seed}"), RESULTS / f"seed-{seed}.parquet")
    files = sorted(RESULTS.glob("seed-*.parquet"))
    if not files:
        raise SystemExit(f"there are no results in {RESULTS} yet: run without --report first")
    report(make_console(width=200), {int(file.stem.removeprefix("seed-")): saved(file) for file in files})


if __name__ == "__main__":
    typer.run(main)
