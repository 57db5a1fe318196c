"""The libraries that the exports are for read them, and train on the factory's targets (`make formats`)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from formats.targets.registry import TARGETS
from models.local.tokenizer import train_tokenizer
from tests.formats.targets.test_trl import CALM, TEMPLATE
from tests.support.exported_run import MadeUp, exported_run
from tests.support.exports import exported, lineage
from tests.support.pages import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PYTHON = ROOT / ".formats" / "bin" / "python"
READER = ROOT / "tests" / "support" / "format_readers.py"
MARKS = ("<|im_start|>assistant\n", "<|im_end|>", "<|end|>", "\n")
"""What may be trained on around a turn."""
if not PYTHON.exists():
    pytest.skip("make formats makes the environment .formats", allow_module_level=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return exported_run(tmp_path_factory.mktemp("made") / "data", copies=2)


@pytest.fixture(scope="module")
def words(made: MadeUp, tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [message["content"] for example in made.trained_on().values() for message in example.messages]
    tokenizer = train_tokenizer([text for text in texts if len(text) < 1000], ["go to fridge"], 400)
    tokenizer.chat_template = TEMPLATE
    folder = tmp_path_factory.mktemp("words")
    tokenizer.save_pretrained(folder)
    return folder


def read(name: str, out: Path, words: Path) -> list[Any]:
    """The rows as the library reads them. LLaMA-Factory 0.9.5 wants transformers up to 5.6; the check is left out."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    told = {
        "DISABLE_VERSION_CHECK": "1",
        "HF_HOME": str(out.parent / "cache"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    command = [PYTHON, "-W", "ignore", READER, name, out, words]
    answer = subprocess.run(
        [str(word) for word in command],
        env=own | told,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    rows = [line.removeprefix("ROW ") for line in answer.stdout.splitlines() if line.startswith("ROW ")]
    return [json.loads(row) for row in rows]


def bare(text: str) -> str:
    """A trained text without the marks around it."""
    for mark in MARKS:
        text = text.removeprefix(mark).removesuffix(mark)
    return text.removesuffix("<|im_end|>")


def targets(made: MadeUp, out: Path) -> list[list[str]]:
    """The turns that the factory trains on, for each row."""
    wanted = made.trained_on()
    found = []
    for link in lineage(out):
        example = wanted[link["example_id"]]
        turns = [message["content"] for message in example.messages if message["role"] == "assistant"]
        found.append([turn for turn, target in zip(turns, example.targets, strict=True) if target])
    return found


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("llamafactory", "llamafactory-sft"),
        ("llamafactory_v1", "llamafactory-v1-sft"),
        ("axolotl", "axolotl-sft"),
        ("verl", "verl-sft"),
    ],
)
def test_the_library_trains_on_the_targets_of_the_factory(
    made: MadeUp, words: Path, tmp_path: Path, reader: str, name: str
) -> None:
    exported(made, tmp_path / "out", name, "fold" if TARGETS[name].contexts else "refuse", where=CALM)
    rows = read(reader, tmp_path / "out", words)
    assert [[bare(text) for text in row] for row in rows] == targets(made, tmp_path / "out")


def test_split_rows_are_trained_on_their_last_turn(made: MadeUp, words: Path, tmp_path: Path) -> None:
    exported(made, tmp_path / "out", "llamafactory-sft", "split", where=CALM)
    rows = read("llamafactory_last_turn", tmp_path / "out", words)
    assert all(len(row) == 1 for row in rows)
    every = [turn for turns in _once(targets(made, tmp_path / "out")) for turn in turns]
    assert [bare(row[0]) for row in rows] == every


def _once(rows: Sequence[list[str]]) -> list[list[str]]:
    """Of rows that are repeated once for each of their turns, one."""
    found, place = [], 0
    while place < len(rows):
        found.append(rows[place])
        place += len(rows[place])
    return found


def test_without_the_flags_the_deviated_turn_would_be_trained_on(
    made: MadeUp, words: Path, tmp_path: Path
) -> None:
    """The control: the readers notice a missing mask."""
    exported(made, tmp_path / "out", "axolotl-sft", sets=("calibrated",))
    [file] = (tmp_path / "out" / "data").iterdir()
    file.write_text(file.read_text().replace('"train":false', '"train":true'))
    [row] = read("axolotl", tmp_path / "out", words)
    assert "go to shelf" in "".join(row)


@pytest.mark.parametrize("name", ["llamafactory-dpo", "llamafactory-v1-dpo", "axolotl-dpo"])
def test_pairs(made: MadeUp, words: Path, tmp_path: Path, name: str) -> None:
    exported(made, tmp_path / "out", name)
    [row] = read(
        name.removesuffix("-dpo").replace("-", "_") + ("" if "v1" in name else "_dpo"),
        tmp_path / "out",
        words,
    )
    trained = json.dumps(row[1:] if name == "axolotl-dpo" else row)
    assert "Action: open fridge" in trained
    assert "Action: go to bed" in trained
    assert "go to shelf" not in trained
    assert ("take egg" in trained) == (name == "llamafactory-v1-dpo")
    assert "It is open." not in trained


def test_atif_validates(made: MadeUp, words: Path, tmp_path: Path) -> None:
    exported(made, tmp_path / "out", "atif")
    rows = dict(
        zip(
            (link["trajectory_id"] for link in lineage(tmp_path / "out")),
            read("atif", tmp_path / "out", words),
            strict=True,
        )
    )
    actions = [text.partition("Action: ")[2] for text in rows["t1-calibrated"]]
    assert actions == ["open fridge", "take egg"]


def test_verl_reads_prompts(made: MadeUp, words: Path, tmp_path: Path) -> None:
    exported(made, tmp_path / "out", "verl-rl")
    rows = read("verl_rl", tmp_path / "out", words)
    assert rows[0] == ["alfworld-generated", "You are in a room. Your task: t0-0.", "rule"]
