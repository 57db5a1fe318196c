"""Text from outside is never markup, never an emoji code, and never steers the terminal."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli.errors import readable_errors
from cli.main import app
from cli.sql import check_query
from cli.status import print_run, print_runs
from cli.summary import print_summary
from cli.terminal.console import PIPE_WIDTH, make_console
from cli.terminal.progress import BarReporter, PlainReporter
from cli.terminal.tables import as_rich, print_rows, print_table
from cli.trace import print_trace
from cli.what_if import print_what_if
from flows.summary.success import change_table, success_table
from flows.summary.work import COUNTS, counts_table, stages_table
from flows.what_if import OtherRule
from flows.wording import setting, to_start, visible
from steca.deviation import preset
from storage.faults import StorageFault
from storage.runs import RunFolder, StageState
from storage.store import Store
from tests.support.judged_run import judged_run
from tests.support.tiny_factory import ROOT

HOSTILE = {
    "closing tag": "template [/INST] failed",
    "tag": "[red]all red[/red] [bold",
    "escaped bracket": r"\[x = 1 \] and \\[y]",
    "emoji code": "postgres:x:101:warning:",
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\",
    "cursor": "gone\x1b[2K\x1b[1A\r\x08\x9b2J",
    "bidi": "abc\u202edcba\u2066x",
    "half a character": "name-\udcff",
    "newline": "two\nlines",
    "long": "x" * 3000,
}
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
Print = Callable[[Console, str], None]


def a_table(out: Console, text: str) -> None:
    print_table(out, ["plain", text], [[text, 1.5], ["other", [text, None]]])


def a_block(out: Console, text: str) -> None:
    narrow = make_console(out.file, width=30)
    print_table(narrow, ["plain " * 3, "n"], [[text, {"key": text}]])
    print_table(narrow, [text, "plain " * 3], [["", 1]])


def no_rows(out: Console, text: str) -> None:
    print_table(make_console(out.file, width=20), [text, "plain " * 30], [])


def plain_lines(out: Console, text: str) -> None:
    reporter = PlainReporter(out)
    reporter.stage_started(text, 2, 3)
    reporter.log(text)
    reporter.spent_so_far(text)
    reporter.stage_ended("failed")


def a_bar(out: Console, text: str) -> None:
    with BarReporter(out) as reporter:
        reporter.stage_started(text, 2, 3)
        reporter.spent_so_far(text)
        reporter.progressed(1, 2, text, 1)
        reporter.log(text)
        reporter.stage_ended("failed")


class Answers:
    """A store that gives the hostile text wherever a query may give a text."""

    def __init__(self, text: str) -> None:
        self.text, self.published = text, Path(text)

    def query(self, sql: str, params: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
        if "stage_costs" in sql:
            return [], [(self.text, 1, self.text, self.text, 2, 2, 1.0, 3, 4, 5, 0.5)]
        if "run_summary" in sql:
            return [], [(1,) * len(COUNTS)]
        if "success_change" in sql:
            return [], [(self.text, self.text, 2, 1, 3, 0.1, -0.1, 0.3)]
        return [], [(self.text, 2, self.text, self.text, 4, 2, 0.5, 0.1, 0.9, 0.6, 0.2, 0.9)]


def summary_tables(out: Console, text: str) -> None:
    store: Any = Answers(text)
    for table in (success_table, change_table, counts_table, stages_table):
        out.print(as_rich(table(store, text)))


PRINTERS: list[Print] = [a_table, a_block, no_rows, plain_lines, a_bar, summary_tables]


def shown(print_it: Print, text: str, terminal: bool) -> str:
    """What is printed. A bar is no terminal here, so that rich adds no codes of its own to look for."""
    out = io.StringIO()
    width = PIPE_WIDTH if len(text) < 1000 else 80
    print_it(make_console(out, width, force_terminal=terminal, color_system=None), text)
    return out.getvalue()


def squeezed(text: str) -> str:
    """Without what a table adds between the parts of a broken cell."""
    return re.sub(r"[\s│┃]+", "", text)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("print_it", PRINTERS, ids=lambda print_it: print_it.__name__)
def test_a_text_is_printed_as_it_is(print_it: Print, text: str) -> None:
    said = shown(print_it, text, terminal=False)
    assert not RAW.search(said)
    wanted = visible(text).split("\n")[0] if len(text) < 1000 else "x" * 10
    assert squeezed(wanted) in squeezed(said)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_a_bar_on_a_terminal_shows_no_code_of_a_text(text: str) -> None:
    """Rich's own codes steer the bars; what the text holds of them is written out."""
    assert "\x1b[31m" not in (said := shown(a_bar, text, terminal=True))
    assert "\x1b]" not in said
    assert "\x9b" not in said
    assert "\u202e" not in said


def test_what_is_ordinary_stays() -> None:
    ordinary = "naïve 🙂 العربية 日本 \t tab\nline [a] \\ 'q'"
    assert visible(ordinary) == ordinary


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_an_error_is_printed_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BaseException) as stopped, readable_errors():  # noqa: PT011
        raise StorageFault(text)
    assert getattr(stopped.value, "exit_code", None) == 1
    assert capsys.readouterr().err == f"error: {visible(text)}\n"


@pytest.mark.parametrize("text", [t for n, t in HOSTILE.items() if n != "half a character"])
def test_csv_and_json_are_exact(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    columns, rows = [text, "n"], [[text, 1], ["plain", 2]]
    print_rows(columns, rows, "csv")
    assert list(csv.reader(io.StringIO(capsys.readouterr().out, newline=""))) == [
        columns, [text, "1"], ["plain", "2"],
    ]  # fmt: skip
    print_rows(columns, rows, "json")
    assert json.loads(capsys.readouterr().out) == [{text: text, "n": 1}, {text: "plain", "n": 2}]


def test_json_keeps_columns_of_the_same_name(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(["n", "n", "n_1", "n"], [[1, 2, 3, 4]], "json")
    assert sorted(json.loads(capsys.readouterr().out)[0].values()) == [1, 2, 3, 4]


def test_the_status_of_a_run_shows_an_error_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "brack[et]s"
    for number, (name, text) in enumerate(HOSTILE.items()):
        if name in ("half a character", "long"):
            continue
        folder = RunFolder(root, f"run-{number}")
        folder.create("run", {"n": number})
        folder.save_stage(
            StageState(
                stage="rewards", round=1, stage_key="k", status="failed", started_at=datetime.now(UTC),
                ended_at=None, seconds=None, batches=(), cached_batches=0, checkpoint=None, error=text,
                flow_run_id=None,
            )
        )  # fmt: skip
        print_run(root, f"run-{number}")
        said = capsys.readouterr().out
        assert not RAW.search(said)
        assert visible(text).split("\n")[0] in said
    print_runs(root)
    assert "run-0" in capsys.readouterr().out
    print_runs(tmp_path / "[/INST] :x:")
    assert "[/INST] :x:" in capsys.readouterr().out


def test_a_command_in_a_hint_works_in_a_folder_of_any_name() -> None:
    import shlex

    from configs.load import load_config

    for name in ("/a/brack[et]s", "/it's #1: mine", "[list]", "~/x y", "null", "1", "$HOME `x`"):
        words = shlex.split(to_start(Path(name)).strip("`"))
        assert words[:3] == ["steca", "run", "--set"]
        assert load_config(None, [words[3]]).data_dir == Path(name)
    assert setting("delta", 0.1) == "delta=0.1"
    assert to_start(Path("data")) == "`steca run`"


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for package in (
        "cli",
        "flows",
        "tasks",
        "rollouts",
        "models",
        "storage",
        "environments",
        "configs",
        "steca",
    ):
        for file in sorted((ROOT / package).rglob("*.py")):
            yield file.relative_to(ROOT), ast.parse(file.read_text())


def makes_its_own(tree: ast.AST) -> list[str]:
    """What a file imports that would let rich read a text as markup: a console, text or column of its own, print."""
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    rich = {alias.name for node in froms if str(node.module).startswith("rich") for alias in node.names}
    modules = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    unsafe = {
        "Console",
        "Text",
        "TextColumn",
        "SpinnerColumn",
        "Panel",
        "Prompt",
        "Traceback",
        "RichHandler",
        "print",
    }
    return [*(rich & unsafe), *(name for name in modules if name.split(".")[0] == "rich")]


def test_only_one_place_makes_consoles_and_texts() -> None:
    found = {str(file): made for file, tree in sources() if (made := makes_its_own(tree))}
    assert set(found) == {"cli/terminal/console.py"}


@pytest.mark.parametrize(
    "code", ["from rich.console import Console", "import rich.text", "from rich import print"]
)
def test_another_place_is_found(code: str) -> None:
    assert makes_its_own(ast.parse(code))


@pytest.mark.parametrize("query", ["", "  ", ";", "-- only a comment", "/* nothing */ ;"])
def test_an_empty_query_is_one_line(query: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sql", query, "--data-dir", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: the query is empty")
    assert result.stderr.count("\n") == 1


def test_no_text_and_several_queries_are_refused_and_preparations_are_not() -> None:
    from configs.faults import ConfigFault

    with pytest.raises(ConfigFault, match="not UTF-8"):
        check_query("SELECT '\udcff'")
    with pytest.raises(ConfigFault, match="2 statements"):
        check_query("SELECT 1; FROM tasks")
    for fine in ("SELECT ';'", "SET VARIABLE n = 3; SELECT getvariable('n')", "SELEC", "FROM a; -- the end"):
        check_query(fine)


def test_the_summary_names_a_folder_with_brackets_in_commands_that_work(
    finished: Any, tmp_path: Path
) -> None:
    import shlex
    import shutil

    from flows.runs.run import run_id

    folder = tmp_path / "it's [INST] :x: mine"
    folder.mkdir()
    shutil.copy(finished.data_dir / "trajectories.duckdb", folder)
    out = io.StringIO()
    print_summary(make_console(out, 80), folder, run_id(finished))
    commands = [line for line in out.getvalue().splitlines() if line.startswith("  steca sql")]
    assert len(commands) == 4
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, result.output


FROM_OUTSIDE = {
    "instruction",
    "expert_action",
    "explored_action",
    "turn_action",
    "reflection",
    "required_action",
}


class HostileStore(Store):
    """A store whose texts from games and models are all one hostile text."""

    def __init__(self, root: Path, text: str) -> None:
        super().__init__(root)
        self._text = text

    def query(self, sql: str, params: Any = ()) -> tuple[list[str], list[tuple[Any, ...]]]:
        columns, rows = super().query(sql, params)
        return columns, [tuple(map(self._replaced, columns, row)) for row in rows]

    def _replaced(self, column: str, value: Any) -> Any:
        if column == "actions" and value is not None:
            return [self._text for _ in value]
        return self._text if column in FROM_OUTSIDE and value is not None else value


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("judged")
    judged_run(root, "sequential", preset("sequential"), "sequential", tasks=3)
    return root


@pytest.mark.parametrize("text", [t for n, t in HOSTILE.items() if n != "half a character"])
def test_what_if_and_trace_show_a_text_as_it_is(
    text: str, judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = HostileStore(judged, text)
    with store.opened():
        print_what_if(store, None, OtherRule(preset="paper", delta=1.0), 2, "table")
        said = capsys.readouterr().out
        deviation = store.query("SELECT deviation_id FROM deviations ORDER BY 1 LIMIT 1")[1][0][0]
        print_trace(store, deviation, everything=True)
    for output in (said, capsys.readouterr().out):
        assert not RAW.search(output)
        assert visible(text).split("\n")[0][:200] in output
