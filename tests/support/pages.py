"""What the README and the pages in docs/ name: queries, commands, settings, files, links. One function for each."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.layers import BELOW

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(sorted((ROOT / name for name in ("README.md", "CONTRIBUTING.md")), reverse=True)) + tuple(
    sorted((ROOT / "docs").glob("*.md"))
)
FOLDERS = (*BELOW, "benchmarks", "tests", "docs", "requirements", r"\.ci")
_PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./*-]*)`")
_SYMBOLS = re.compile(r"((?:`\w+`(?:,?\s+and\s+|,\s+)?)+)\s+(?:(?:in|of|from) |\()`([\w/]+\.py)`")
_IDENTIFIER = re.compile(r"`(\w+)(\([^`]*\))?`")
FOREIGN = {"repetition_penalty"}
"""Names in the prose that belong to other programs, and do not occur in the code."""
_CODE = ("*.py", "*.sql", "*.yaml", "*.yml", "*.toml", "Makefile", ".env.example")
"""Where identifiers may occur, in the root and in the folders of the code."""
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    """How a page is called in messages: its path in the repository."""
    return str(page.relative_to(ROOT))


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def queries(text: str) -> list[str]:
    """Every SQL query, each with the comment above it."""
    return [part.strip() for block in blocks(text, "sql") for part in block.split(";") if part.strip()]


def shown_answers(text: str) -> list[tuple[str, list[str]]]:
    """Queries whose answer is shown below them, with the column names of that answer."""
    found = re.findall(r"^```sql\n([^`]*?)\n```\s*```text\n┏.*┓\n┃(.*?)┃\n", text, re.M)
    return [(query, [name.strip() for name in header.split("┃")]) for query, header in found]


def commands(text: str) -> Iterator[list[str]]:
    """The words of every `steca` command in a shell block, without its comment."""
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["steca"]:
                yield words[1:]


def named_commands(text: str) -> set[str]:
    """Names of commands in the prose: `steca sql` names sql."""
    return set(re.findall(r"`steca ([a-z][a-z-]+)", text))


def targets(text: str) -> set[str]:
    """Names of make targets, in shell blocks and in the prose."""
    return set(re.findall(r"(?:^|`|; then )make ([a-z0-9-]+)", text, re.M))


def modules(text: str) -> set[str]:
    """Modules of this repository that are run by `python -m`."""
    return set(re.findall(r"python -m (benchmarks(?:\.\w+)+)", text))


def settings(text: str, sections: set[str]) -> set[str]:
    """Dotted names of settings in the prose, such as rewards.worth; `sections`: what they may start with."""
    names = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)[`=:]", text)
    return {name for name in names if name.split(".")[0] in sections and not name.endswith(".log")}


def paths(text: str) -> set[str]:
    """Files and folders of the repository in the prose; NAME stands for one that the reader makes."""
    return {path for path in _PATH.findall(text) if "NAME" not in path}


def missing_paths(text: str) -> list[str]:
    """Those that are not there."""
    return sorted(path for path in paths(text) if not any(ROOT.glob(path)))


def missing_symbols(text: str) -> list[str]:
    """Names that are said to be in a Python file, and are not defined there."""
    missing = []
    for names, path in _SYMBOLS.findall(text):
        source = (ROOT / path).read_text() if (ROOT / path).exists() else ""
        for name in re.findall(r"`(\w+)`", names):
            if not re.search(rf"^ *(?:def|class) {name}\b|^{name}\b(?:: .+)? =", source, re.M):
                missing.append(f"{name} in {path}")
    return missing


def identifiers(text: str) -> set[str]:
    """Names in the prose that only code can have: with an underscore, with capitals inside, or with parentheses.
    Your... stands for one that the reader makes."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    named = {name for name, call in _IDENTIFIER.findall(prose) if call or re.search(r"_|[a-z][A-Z]", name)}
    return {name for name in named - FOREIGN if not name.startswith("Your")}


def unknown_identifiers(text: str) -> list[str]:
    """Those that no file of the code has."""
    return sorted(identifiers(text) - _words_of_the_code())


@cache
def _words_of_the_code() -> frozenset[str]:
    folders = [ROOT / name for name in FOLDERS if name not in ("docs", "tests", r"\.ci")]
    files = [file for name in _CODE for file in ROOT.glob(name)]
    files += [file for folder in folders for name in _CODE for file in folder.rglob(name)]
    return frozenset(word for file in files for word in re.findall(r"\w+", file.read_text()))


def broken_links(page: Path, text: str) -> list[str]:
    """Links within the repository to a file or a heading that is not there."""
    return [link for link in _LINK.findall(text) if not link.startswith("http") and not _leads(page, link)]


def _leads(page: Path, link: str) -> bool:
    path, _, heading = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not heading or heading in _headings(target.read_text()))


def _headings(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
