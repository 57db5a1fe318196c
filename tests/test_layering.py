"""Imports run downwards only, the method stays pure, and files and functions stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.support.layers import BELOW

ROOT = Path(__file__).resolve().parent.parent

PURE = {
    "__future__",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "itertools",
    "json",
    "math",
    "numpy",
    "re",
    "scipy",
    "statistics",
    "steca",
    "types",
    "typing",
}
"""All that the method may import: nothing that reads, writes, schedules or learns."""

SIDE_EFFECTS = {"open", "print", "input", "exec", "eval", "__import__"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[tuple[str, Path]]:
    return [(package, path) for package in BELOW for path in sorted((ROOT / package).rglob("*.py"))]


def imported(tree: ast.AST, package: str) -> set[str]:
    """Top-level names of all modules imported anywhere in a file, lazily ones too; relative ones are its own."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(package if node.level else str(node.module).split(".")[0])
    return names


def layering_faults(package: str, source: str) -> list[str]:
    """What breaks the order of the packages in one file's source."""
    names = imported(ast.parse(source), package)
    return [
        f"{package} imports {name}"
        for name in sorted(names & BELOW.keys())
        if name not in BELOW[package] | {package}
    ]


def purity_faults(source: str) -> list[str]:
    """What one of the method's files does that it must not."""
    tree = ast.parse(source)
    calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    return [f"imports {name}" for name in sorted(imported(tree, "steca") - PURE)] + [
        f"calls {name}" for name in sorted(calls & SIDE_EFFECTS)
    ]


def function_lengths(source: str) -> Iterator[tuple[str, int]]:
    """Name and number of lines of each function, its docstring included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_there_is_something_to_check() -> None:
    assert {package for package, _ in sources()} >= {"steca", "environments", "models", "storage", "configs"}
    assert ROOT / "steca" / "deviation.py" in {path for _, path in sources()}


def test_imports_run_downwards_only() -> None:
    faults = [
        f"{path.relative_to(ROOT)}: {f}"
        for package, path in sources()
        for f in layering_faults(package, path.read_text())
    ]
    assert not faults, "\n".join(faults)


def test_the_method_is_pure() -> None:
    faults = [
        f"{path.name}: {f}"
        for package, path in sources()
        if package == "steca"
        for f in purity_faults(path.read_text())
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("package", "source", "fault"),
    [
        ("steca", "import models.policy", "steca imports models"),
        ("steca", "from configs import schema", "steca imports configs"),
        ("environments", "from storage.records import TaskRecord", "environments imports storage"),
        ("models", "def late():\n    from environments.base import Task", "models imports environments"),
        ("storage", "import json, models as m", "storage imports models"),
        ("rollouts", "import tasks.batch", "rollouts imports tasks"),
        ("flows", "from cli.terminal.tables import print_rows", "flows imports cli"),
        ("tasks", "try:\n    from flows.work import chain\nexcept ImportError: pass", "tasks imports flows"),
        ("configs", "import environments", "configs imports environments"),
    ],
)
def test_a_violation_is_caught(package: str, source: str, fault: str) -> None:
    assert layering_faults(package, source) == [fault]


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("flows", "from tasks.explore import explore\nimport steca.types\nimport prefect"),
        (
            "models",
            "from configs.schema import PolicyConfig\nfrom models.policy import Policy\nfrom . import small",
        ),
        ("environments", "import modelsuite\nfrom steca.types import Turn"),
    ],
)
def test_what_is_allowed_passes(package: str, source: str) -> None:
    assert layering_faults(package, source) == []


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("import torch.nn\nimport duckdb", ["imports duckdb", "imports torch"]),
        ("from prefect import task", ["imports prefect"]),
        ("def f():\n    import pydantic", ["imports pydantic"]),
        ("from pathlib import Path", ["imports pathlib"]),
        ("def f(path):\n    return open(path)", ["calls open"]),
        ("from math import sqrt\nfrom .types import Turn\nfrom steca.types import Step", []),
    ],
)
def test_impurity_is_caught(source: str, faults: list[str]) -> None:
    assert purity_faults(source) == faults


def test_no_file_is_longer_than_400_lines_and_the_median_is_at_most_130() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for _, path in sources()}
    assert not {path: lines for path, lines in lengths.items() if lines > 400}
    assert median(lines for lines in lengths.values() if lines) <= 130


def test_no_function_is_longer_than_60_lines_and_the_median_is_at_most_12() -> None:
    lengths = [
        (f"{path.relative_to(ROOT)}: {name}", lines)
        for _, path in sources()
        for name, lines in function_lengths(path.read_text())
    ]
    assert not [entry for entry in lengths if entry[1] > 60]
    assert median(lines for _, lines in lengths) <= 12


def test_long_functions_are_measured() -> None:
    nested = "class A:\n    async def f(self):\n" + "        pass\n" * 60
    assert list(function_lengths(nested)) == [("f", 61)]


def test_every_package_says_what_is_in_it() -> None:
    silent = [path for _, path in sources() if ast.get_docstring(ast.parse(path.read_text())) is None]
    assert not [str(path.relative_to(ROOT)) for path in silent if path.name != "__main__.py"]


def test_only_the_command_line_prints() -> None:
    """`cli/` owns the terminal: no other package prints, or imports what prints."""
    printing = {"rich", "typer", "click"}
    faults = [
        f"{path.relative_to(ROOT)}: {name}"
        for package, path in sources()
        if package != "cli"
        for name in sorted(imported(ast.parse(path.read_text()), package) & printing)
    ]
    assert not faults


def test_tests_import_their_helpers_by_whole_names() -> None:
    """A sibling's bare name is found only by accident: no test folder is on the path."""
    helpers = {path.stem for path in (ROOT / "tests").rglob("*.py")} - {"conftest", "__init__"}
    faults = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for name in sorted(imported(ast.parse(path.read_text()), "tests") & helpers)
        if not (ROOT / name).is_dir()
    ]
    assert "lockstep" in helpers
    assert not faults
