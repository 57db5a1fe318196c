"""`steca export`: what it prints, and how it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from cli.main import app
from formats.targets.context import Context
from formats.targets.pairs import OneTurnPairTarget
from formats.targets.registry import TARGETS
from tests.support.exported_run import exported_run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_run(tmp_path_factory.mktemp("made") / "data").store.root


def steca(data: Path, *words: str) -> tuple[int, str]:
    answer = CliRunner().invoke(app, ["export", *words, "--data-dir", str(data)])
    return answer.exit_code, answer.output


def test_it_prints_the_audit(data: Path, tmp_path: Path) -> None:
    code, said = steca(data, "trl-sft", "--run", "made", "--out", str(tmp_path / "out"))
    assert code == 0, said
    for words in (
        f"wrote {tmp_path / 'out'}: 6 rows in 5 files",
        "not in it: test tasks are held out │ 1",
        "  calibrated ",
        "weights: lost: SFTTrainer has no weights",
        f"how to load it: {tmp_path / 'out' / 'README.md'}",
    ):
        assert words in said
    assert "is this export already" in steca(data, "trl-sft", "--out", str(tmp_path / "out"))[1]
    rows = tmp_path / "out" / "data" / "train-00000.jsonl"
    rows.write_bytes(rows.read_bytes()[:100])
    said = steca(data, "trl-sft", "--out", str(tmp_path / "out"))[1]
    assert (
        f"data/train-00000.jsonl in {tmp_path / 'out'} was missing or damaged: all is exported anew" in said
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trl-stf"], "no format is called 'trl-stf': did you mean trl-sft?"),
        (["llamafactory-sft"], "--context fold | drop | split"),
        (["trl-sft", "--context", "fold"], "--context fold is not for trl-sft"),
        (["trl-sft", "--sets", "all"], "--sets all: there is none"),
        (["trl-sft", "--where", "1; 2"], "is not one SQL expression"),
        (["trl-sft", "--run", "nobody"], "no run nobody"),
    ],
)
def test_a_refusal_is_one_line(data: Path, tmp_path: Path, words: list[str], says: str) -> None:
    code, said = steca(data, *words, "--out", str(tmp_path / "out"))
    assert code == 1
    assert says in said
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_every_format_says_what_it_is() -> None:
    for name, target in TARGETS.items():
        assert target.name == name
        assert target.title
        assert target.reader
        assert target.weight.why
        assert target().usage


def test_the_ways_of_context_are_those_of_the_formats(data: Path, tmp_path: Path) -> None:
    code, said = steca(data, "llamafactory-sft", "--context", "none", "--out", str(tmp_path / "out"))
    assert code == 2
    known = said[said.index("is not one of") :]
    for way in get_args(Context):
        assert f"'{way}'" in known


def test_formats_with_one_message_a_side_say_what_is_cut() -> None:
    cutting = [name for name, target in TARGETS.items() if issubclass(target, OneTurnPairTarget)]
    assert cutting == ["openai-dpo", "llamafactory-dpo", "axolotl-dpo"]
    for name in cutting:
        assert [line for line in TARGETS[name].limits if line.startswith("A side is one message")], name
