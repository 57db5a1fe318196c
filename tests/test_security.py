"""SECURITY.md promises nothing that no test holds."""

from __future__ import annotations

import re

import pytest

from tests.support.tiny_factory import ROOT

TEXT = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`(test_\w+)`", TEXT)))
FILES = sorted(set(re.findall(r"`((?:tests|storage)/[\w/]+\.py)`", TEXT)))


def defined() -> set[str]:
    files = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for text in files for name in re.findall(r"^def (test_\w+)", text, re.M)}


def test_every_named_test_is_there() -> None:
    assert len(NAMED) >= 10
    assert not set(NAMED) - defined()
    assert "test_that_nobody_wrote" not in defined()


@pytest.mark.parametrize("path", FILES)
def test_every_named_file_is_there(path: str) -> None:
    assert (ROOT / path).is_file()


def test_every_promise_names_its_test() -> None:
    promised = TEXT.split("## Promised")[1].split("## Not promised")[0]
    parts = re.split(r"\n\n(?=\*\*)", promised.strip())
    assert len(parts) >= 6
    for part in parts:
        assert re.search(r"`(test_\w+|tests/[\w/]+\.py)`", part), part[:60]


def test_every_named_target_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z-]+)`", TEXT)) <= targets
