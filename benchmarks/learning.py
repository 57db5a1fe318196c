"""Whether calibration helps: STeCa against its controls, at equal training steps, over several seeds.

    python -m benchmarks.learning               run configs/compare/learning.yaml, and keep the results
    python -m benchmarks.learning --report      print the tables of the kept results

A thin use of `steca compare`. The files in benchmarks/results/learning hold every test episode. `--file
configs/compare/NAME.yaml` does the same with another comparison.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.compare.command import Asked, compare
from cli.errors import readable_errors

ARMS = Path(__file__).parents[1] / "configs" / "compare" / "learning.yaml"
RESULTS = Path(__file__).parent / "results" / "learning"


def main(
    file: Annotated[Path, typer.Option(help="Comparison file.")] = ARMS,
    seeds: Annotated[str, typer.Option(help="As steca compare takes them. Default: those of the file.")] = "",
    jobs: Annotated[int, typer.Option(help="Seeds that run at the same time.")] = 1,
    data: Annotated[Path, typer.Option(help="Data folder of the runs.")] = Path("data/learning"),
    only_report: Annotated[
        bool, typer.Option("--report", help="Print the kept results without running anything.")
    ] = False,
) -> None:
    with readable_errors():
        if only_report:
            compare(Asked(None, seeds=seeds, kept=[RESULTS / f"{file.stem}.parquet"]))
            return
        folder = [f"data_dir={data}"]
        if not compare(Asked(file, seeds=seeds, overrides=folder, jobs=jobs, save=RESULTS)):
            raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
