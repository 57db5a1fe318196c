"""The commands of `steca`. Each is in a file of its own, which is imported when the command is called: heavy imports
(torch, Prefect, DuckDB) would make every command slow."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.data_folder import local, to_read, whole
from cli.errors import readable_errors
from cli.export.command import export
from cli.maintenance import compact, doctor, gc
from cli.options import ConfigOption, DataOption, DebugOption, RunOption, SetOption
from cli.view.commands import report, view
from cli.world.app import world
from configs.load import load_config
from configs.stages import STAGES

RUNS, RESULTS, MAINTENANCE, WORLDS = "Runs", "Results", "Data folder", "Worlds"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(world, name="world", rich_help_panel=WORLDS)

ChangeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Change a setting. Those of execution and budget, e.g. budget.rollouts=2000, are the run's from then on; "
        "others, e.g. deviation.delta=-0.2, make another run, which shares all earlier stages. Repeatable.",
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from storage.runs import package_version

        typer.echo(f"steca {package_version()}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """A data factory for language-model agents: step-level trajectory calibration."""


class Format(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"


class Shape(StrEnum):
    auto = "auto"
    sharegpt = "sharegpt"
    openai = "openai"
    atif = "atif"
    hf_traces = "hf-traces"


def _stage_name(name: str | None) -> str | None:
    if name is not None and name not in STAGES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(STAGES)}")
    return name


@app.command(rich_help_panel=RUNS)
def run(
    config: ConfigOption = None,
    set_: SetOption = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="STAGE", callback=_stage_name, help="Start at this stage. Default: the first."
        ),
    ] = None,
    round: Annotated[int, typer.Option(min=1, metavar="N", help="With --from: the stage's round.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Compute every batch again, from --from on, even if it is cached.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Run the whole factory, or all that follows from a stage on. Results of equal work are taken from the cache."""
    with readable_errors(debug):
        from cli.run import run_factory

        run_factory(load_config(config, set_ or ()), from_, round, force, debug)


@app.command(rich_help_panel=RUNS)
def compare(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Comparison file, e.g. in configs/compare/.")
    ] = None,
    arms: Annotated[
        str, typer.Option("--arms", metavar="A,B", help="Run these arms only. Default: all of the file.")
    ] = "",
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds", metavar="N", help="Number of seeds, e.g. 3, or a list, e.g. 2,3,4 (one: 2,)."
        ),
    ] = "",
    set_: SetOption = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Seeds that run at the same time.")] = 1,
    report: Annotated[bool, typer.Option("--report", help="Only print what is finished.")] = False,
    kept: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="FILE", help="Print kept results instead. Repeatable."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Keep the results as a Parquet file there.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="SVG",
            help="Picture of what is printed, SVG or PNG. With --from, default: beside the file.",
        ),
    ] = None,
    reference: Annotated[
        str,
        typer.Option(
            "--reference", metavar="ARM", help="Print differences to this arm. Default: the file's reference."
        ),
    ] = "",
    debug: DebugOption = False,
) -> None:
    """Compare arms, each a few changed settings, over several seeds. Stages that they share run once."""
    with readable_errors(debug):
        from cli.compare.command import Asked
        from cli.compare.command import compare as compare_arms

        asked = Asked(file, arms, seeds, set_ or (), jobs, report, kept or (), save, out, reference, debug)
        if not compare_arms(asked):
            raise typer.Exit(1)


@app.command("import", rich_help_panel=RUNS)
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Recorded runs: ShareGPT, OpenAI messages, ATIF or HF traces, as JSONL, JSON (.gz too) or Parquet; or "
            "folders of them.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="JSONL", help="File to write, for environment.demonstrations.")
    ],
    format: Annotated[
        Shape, typer.Option("--format", help="Only runs of this shape. auto: whatever each one is.")
    ] = Shape.auto,
    config: ConfigOption = None,
    set_: SetOption = None,
    debug: DebugOption = False,
) -> None:
    """Make demonstrations of a file of recorded runs: find their tasks, play them, keep those that reach the goal."""
    with readable_errors(debug):
        from cli.importing.command import import_files

        given = [*(["--config", str(config)] if config else [])]
        given += [word for change in set_ or () for word in ("--set", change)]
        shape = "" if format is Shape.auto else format.value
        import_files(files, out, load_config(config, set_ or ()), shape, given)


@app.command(rich_help_panel=RUNS)
def stage(
    name: Annotated[
        str, typer.Argument(metavar="STAGE", callback=_stage_name, help=f"One of {', '.join(STAGES)}.")
    ],
    run: Annotated[
        str,
        typer.Option(
            "--run",
            metavar="RUN",
            help="Id of a run, its start, or the run's name; newest: the one that was created last.",
        ),
    ],
    round: Annotated[int, typer.Option(min=1, metavar="N", help="Round, in runs of several rounds.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Compute every batch again, even if it is cached.")
    ] = False,
    following: Annotated[bool, typer.Option("--following", help="Also run the stages that follow.")] = False,
    data_dir: DataOption = Path("data"),
    set_: ChangeOption = None,
    debug: DebugOption = False,
) -> None:
    """Run one stage of an existing run."""
    with readable_errors(debug):
        from cli.stage import run_stage

        run_stage(name, data_dir, run, round, force, set_ or (), following, debug)


@app.command(rich_help_panel=RUNS)
def config(config: ConfigOption = None, set_: SetOption = None) -> None:
    """Check a configuration, and print all its settings."""
    with readable_errors():
        from cli.config import print_config

        print_config(load_config(config, set_ or ()))


@app.command(rich_help_panel=RUNS)
def serve(
    port: Annotated[
        int, typer.Option(min=1, max=65535, metavar="PORT", help="Port of a server that is started.")
    ] = 4200,
    data_dir: DataOption = Path("data"),
    configs: Annotated[
        Path | None,
        typer.Option(
            "--configs", metavar="DIR", help="Folder of the configuration files. Default: the shipped ones."
        ),
    ] = None,
    pool: Annotated[
        str,
        typer.Option(
            "--pool",
            metavar="POOL",
            help="Be a worker of this work pool of Prefect's: several machines that share the data folder can be.",
        ),
    ] = "",
    healthcheck: Annotated[
        bool,
        typer.Option(
            "--with-healthcheck", help="With --pool: Prefect's health check for workers, on port 8080."
        ),
    ] = False,
) -> None:
    """Offer every configuration file and every stage in the Prefect UI. Starts a server if none runs."""
    with readable_errors():
        from cli.serve import serve_all
        from flows.deployments.offered import SHIPPED

        serve_all(local(data_dir, "steca serve"), port, configs or SHIPPED, pool, healthcheck)


@app.command(rich_help_panel=RUNS)
def status(
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Show the stages of a run: its id or name."),
    ] = None,
    data_dir: DataOption = Path("data"),
) -> None:
    """List the runs of a data folder, or the stages of one run."""
    with readable_errors():
        from cli.status import print_run, print_runs

        root = to_read(data_dir)
        print_run(root, run) if run else print_runs(root)


@app.command(
    rich_help_panel=RESULTS, context_settings={"ignore_unknown_options": True}
)  # a query may start with --
def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help='For example "FROM run_summary".')],
    format: Annotated[Format, typer.Option(help="How to print the rows.")] = Format.table,
    data_dir: DataOption = Path("data"),
) -> None:
    """Query the published store. It is read-only, and a query never blocks a run."""
    with readable_errors():
        from cli.sql import print_answer

        print_answer(to_read(data_dir), query, format.value)


@app.command("what-if", rich_help_panel=RESULTS)
def what_if(
    run: RunOption = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="RULE", help="Another rule, e.g. paper or release.")
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option("--delta", help="Another threshold of eq. 5. A larger one finds more deviations."),
    ] = None,
    error_rate: Annotated[
        float | None, typer.Option("--error-rate", help="Another error rate, for the rule sequential.")
    ] = None,
    smallest_drop: Annotated[
        float | None, typer.Option("--smallest-drop", help="Another smallest drop, for the rule sequential.")
    ] = None,
    probability: Annotated[
        float | None, typer.Option("--probability", help="Another probability, for the rule probable.")
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, metavar="N", help="Show N deviations that enter, and N that leave.")
    ] = 3,
    format: Annotated[
        Format, typer.Option(help="table: a summary. csv, json: every comparison.")
    ] = Format.table,
    data_dir: DataOption = Path("data"),
) -> None:
    """Show how another deviation rule would change a run's verdicts and training set. Needs no rollouts."""
    with readable_errors():
        from cli.published import published_store
        from cli.what_if import print_what_if
        from flows.what_if import OtherRule

        question = OtherRule(preset, delta, error_rate, smallest_drop, probability)
        store = published_store(to_read(data_dir))
        with store.opened():
            print_what_if(store, run, question, examples, format.value)


@app.command(rich_help_panel=RESULTS)
def trace(
    id: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Id of a training example, preference pair, calibration or deviation, or its start.",
        ),
    ],
    all: Annotated[
        bool, typer.Option("--all", help="Show every rollout, not only the first few of each turn.")
    ] = False,
    data_dir: DataOption = Path("data"),
) -> None:
    """Show what a training example comes from: repair, verdict, step rewards, rollouts and policies."""
    with readable_errors():
        from cli.published import published_store
        from cli.trace import print_trace

        store = published_store(to_read(data_dir))
        with store.opened():
            print_trace(store, id, all)


app.command(rich_help_panel=RESULTS)(view)
app.command(rich_help_panel=RESULTS)(report)
app.command(rich_help_panel=RESULTS)(export)


@app.command(rich_help_panel=RESULTS)
def curves(
    run: RunOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PNG", help="File to write. Default: in the run's folder.")
    ] = None,
    data_dir: DataOption = Path("data"),
) -> None:
    """Draw loss, learning rate and gradient norm of every training of a run."""
    with readable_errors():
        from cli.curves import draw_curves

        draw_curves(whole(data_dir), run, out)


for command in (doctor, gc, compact):
    app.command(rich_help_panel=MAINTENANCE)(command)
