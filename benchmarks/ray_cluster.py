"""A run on a Ray cluster of two nodes beside the same run without Ray; and with a node that is killed in its rewards.

    python -m benchmarks.ray_cluster [--rollouts 8]

A small factory on generated games. All nodes are on this machine, so seconds say what Ray costs and not what more
machines gain. Rows are compared by the digests of all batches. Version
0.3.0 has no Ray: beside it stands the local run.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks.measuring import machine
from cli.runtime import flow_runtime
from cli.terminal.console import SafeConsole, console
from configs.load import load_config
from configs.schema import FactoryConfig
from flows.reporting.progress import Silent, reporting
from flows.runs.run import folder_of
from tests.support.prefect_api import wait_until
from tests.support.ray_nodes import Nodes, two_nodes

CONFIG = Path(__file__).parents[1] / "tests" / "support" / "tiny.yaml"


class Losses(Silent):
    """Counts the batches that were made again."""

    redone = 0

    def log(self, line: str) -> None:
        self.redone += "made again by another one" in line


@dataclass(frozen=True)
class Measured:
    seconds: float
    stages: dict[str, float]
    rows: dict[str, str]
    redone: int


def measured(
    config: FactoryConfig, out: SafeConsole, nodes: Nodes | None = None, kill: bool = False
) -> Measured:
    """One run. With `kill`, the second node is killed once the first rollouts of its rewards are stored."""
    counted, began = Losses(), time.monotonic()
    killing = threading.Thread(target=_kill, args=(config, nodes)) if kill and nodes else None
    with flow_runtime(config.data_dir, out, False):
        from flows.factory import factory

        if killing:
            killing.start()
        with reporting(counted):
            factory(config)
    seconds = time.monotonic() - began
    if killing:
        killing.join()
    states = folder_of(config).stages()
    return Measured(
        seconds,
        {state.stage: state.seconds or 0.0 for state in states},
        {ref.batch_id: ref.content for state in states for ref in state.batches},
        counted.redone,
    )


def _kill(config: FactoryConfig, nodes: Nodes) -> None:
    evidence = config.data_dir / "evidence"
    wait_until(lambda: any(evidence.rglob("*.parquet")), 1200)
    nodes.kill_second()


def configured(folder: Path, name: str, rollouts: int, nodes: Nodes | None) -> FactoryConfig:
    where = (
        ["execution.runner=ray", f"execution.ray.address={nodes.address}", "execution.ray.actors=2"]
        if nodes
        else []
    )
    more = [f"data_dir={folder / name}", f"rewards.rollouts={rollouts}", "rewards.candidates=4", *where]
    return load_config(CONFIG, more)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=8, help="per step reward")
    rollouts = parser.parse_args().rollouts
    out = console()
    table = Table("", "seconds", "of these rewards", "batches", "rows equal", "made again", title=machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        local = measured(configured(folder, "local", rollouts, None), out)
        for name, clustered, kill in (
            ("local", False, False),
            ("ray, 2 nodes", True, False),
            ("ray, one of 2 killed", True, True),
        ):
            with two_nodes() if clustered else nullcontext() as nodes:
                again = folder / name.replace(", ", "-").replace(" ", "-")
                config = configured(folder, again.name, rollouts, nodes)
                ran = measured(config, out, nodes, kill) if clustered else local
            equal = sum(ran.rows.get(batch) == content for batch, content in local.rows.items())
            table.add_row(
                name,
                f"{ran.seconds:.0f}",
                f"{ran.stages['rewards']:.0f}",
                str(len(ran.rows)),
                f"{equal} of {len(local.rows)}",
                str(ran.redone),
            )
    out.print(table)


if __name__ == "__main__":
    main()
