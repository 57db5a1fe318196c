"""The command line, `steca`. Heavy imports (torch, Prefect, DuckDB) wait until a command needs them."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import visible
from configs.faults import ConfigFault
from configs.load import load_config
from configs.schema import FactoryConfig
from configs.stages import STAGES
from environments.base import EnvironmentFault
from flows.faults import StageFault
from models.policy import PolicyFault
from models.reflectors.reflector import ReflectionFault
from storage.faults import StorageFault

FAULTS = (EnvironmentFault, PolicyFault, ReflectionFault, StorageFault, StageFault)

app = typer.Typer(
    help="A data factory for language-model agents: step-level trajectory calibration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML file with the settings; without one: all defaults."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, e.g. --set rewards.rollouts=8; may be repeated."),
]
HowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="How the work is done: execution.* or budget.*, e.g. --set budget.rollouts=2000; repeatable.",
    ),
]
DataOption = Annotated[Path, typer.Option("--data-dir", help="Folder that holds the runs and the store.")]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Show Prefect's log, and the traceback of an error.")
]


class Format(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"


StageName = StrEnum("StageName", {stage: stage for stage in STAGES})  # type: ignore[misc]  # choices of typer


@app.command()
def run(config: ConfigOption = None, set_: SetOption = None, debug: DebugOption = False) -> None:
    """Run the whole factory. What was done before with the same settings is taken from the cache."""
    with clear_errors(debug):
        from cli.run import run_factory

        run_factory(load_config(config, set_ or ()), debug)


@app.command()
def stage(
    name: StageName,
    run: Annotated[str, typer.Option("--run", help="Id of a run, as `steca status` lists them.")],
    round: Annotated[int, typer.Option(min=1, help="Round, for runs of several rounds.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Do every batch again as it is cut now, cached or not.")
    ] = False,
    data_dir: DataOption = Path("data"),
    set_: HowOption = None,
    debug: DebugOption = False,
) -> None:
    """Run one stage of a known run alone. --set may change settings under `execution` and `budget` only."""
    with clear_errors(debug):
        from cli.run import run_stage

        run_stage(name.value, data_dir, run, round, force, set_ or (), debug)


@app.command()
def config(config: ConfigOption = None, set_: SetOption = None) -> None:
    """Check a configuration and print it whole, defaults filled in."""
    with clear_errors():
        typer.echo(as_yaml(load_config(config, set_ or ())), nl=False)


@app.command(context_settings={"ignore_unknown_options": True})  # a query may begin with an SQL comment
def sql(
    query: Annotated[str, typer.Argument(help='A query on the store, e.g. "FROM run_summary".')],
    format: Annotated[Format, typer.Option(help="How to print the rows.")] = Format.table,
    data_dir: DataOption = Path("data"),
) -> None:
    """Ask the published store. It is read-only and never blocks a run."""
    with clear_errors():
        from cli.sql import print_answer

        print_answer(data_dir.expanduser().resolve(), query, format.value)


@app.command("what-if")
def what_if(
    run: Annotated[str | None, typer.Option("--run", help="Id of a run; without one: the newest.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="Another rule, e.g. paper or release.")
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option("--delta", help="Another threshold of eq. 5: a larger one calls more turns deviated."),
    ] = None,
    error_rate: Annotated[
        float | None, typer.Option("--error-rate", help="Another error rate, for the rule sequential.")
    ] = None,
    smallest_drop: Annotated[
        float | None, typer.Option("--smallest-drop", help="Another smallest drop, for the rule sequential.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="Show so many of what enters and of what leaves.")] = 3,
    format: Annotated[
        Format, typer.Option(help="table: a summary; csv, json: every comparison.")
    ] = Format.table,
    data_dir: DataOption = Path("data"),
) -> None:
    """What another deviation rule would change of a run: verdicts and training set, without a rollout."""
    with clear_errors():
        from cli.what_if import print_what_if
        from flows.reconsider import Question
        from storage.store import Store

        question = Question(preset, delta, error_rate, smallest_drop)
        print_what_if(Store(data_dir.expanduser().resolve()), run, question, examples, format.value)


@app.command()
def curves(
    run: Annotated[str | None, typer.Option("--run", help="Id of a run; without one: the newest.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="PNG to write; without one: in the run's folder.")
    ] = None,
    data_dir: DataOption = Path("data"),
) -> None:
    """Draw loss, learning rate and gradient norm of every training of a run."""
    with clear_errors():
        from flows.curves import draw_run

        typer.echo(draw_run(data_dir.expanduser().resolve(), run, out))


@app.command()
def trace(
    id: Annotated[
        str, typer.Argument(help="A training example, calibration or deviation; its first letters do.")
    ],
    all: Annotated[
        bool, typer.Option("--all", help="Show every rollout, not only the first of each turn.")
    ] = False,
    data_dir: DataOption = Path("data"),
) -> None:
    """From a training example back to its repair, verdict, step rewards, every rollout and the policies behind them."""
    with clear_errors():
        from cli.trace import print_trace
        from storage.store import Store

        print_trace(Store(data_dir.expanduser().resolve()), id, all)


@app.command()
def status(
    run: Annotated[str | None, typer.Option("--run", help="Show this run's stages.")] = None,
    data_dir: DataOption = Path("data"),
) -> None:
    """The runs of a data folder, or the stages of one run."""
    with clear_errors():
        from cli.status import print_run, print_runs

        root = data_dir.expanduser().resolve()
        print_run(root, run) if run else print_runs(root)


@app.command()
def doctor(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the whole store anew from the shards.")
    ] = False,
    data_dir: DataOption = Path("data"),
) -> None:
    """Say what is wrong with a data folder, and heal what can be healed. Exit code 1 where something is left to do."""
    with clear_errors():
        from cli.doctor import print_findings

        if not print_findings(data_dir.expanduser().resolve(), rebuild):
            raise typer.Exit(1)


@app.command()
def serve(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the server, where none runs yet.")
    ] = 4200,
    data_dir: DataOption = Path("data"),
) -> None:
    """Offer every stage and the factory in the Prefect UI; starts a server where none runs."""
    with clear_errors():
        from cli.serve import serve_all

        serve_all(data_dir, port)


@contextmanager
def clear_errors(debug: bool = False) -> Iterator[None]:
    """Turn a known fault into its one line on stderr: exit code 2 for the user's settings, 1 for all others."""
    try:
        yield
    except ConfigFault as fault:
        _stop(fault, 2, debug)
    except FAULTS as fault:
        _stop(fault, 1, debug)
    except BrokenPipeError:
        raise  # `steca sql ... | head`: click ends quietly
    except UnicodeEncodeError as error:
        letters = visible(error.object[error.start : error.end])
        hint = "use a UTF-8 locale, e.g. LC_ALL=C.UTF-8"
        _stop(StorageFault(f"{letters} cannot be written as {error.encoding}: {hint}"), 1, debug)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _stop(StorageFault(f"{where}{error.strerror or error}"), 1, debug)
    except KeyboardInterrupt:
        typer.echo("\ninterrupted; the same command goes on where this one stopped", err=True)
        raise typer.Exit(130) from None


def as_yaml(config: FactoryConfig) -> str:
    """A configuration as the YAML text that gives it again."""
    import yaml

    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _stop(fault: Exception, code: int, debug: bool) -> None:
    if debug:
        typer.echo(visible("".join(traceback.format_exception(fault))), err=True)
    typer.echo(f"error: {visible(str(fault))}", err=True)
    _let_go(fault)
    raise typer.Exit(code) from None


def _let_go(fault: BaseException | None) -> None:
    """Free what the frames of an error hold. Prefect keeps the error until the process ends, and a DuckDB connection
    in it would then be reported as leaked, in fifty lines after ours."""
    while fault is not None:
        traceback.clear_frames(fault.__traceback__)
        fault = fault.__cause__ or fault.__context__
