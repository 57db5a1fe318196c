"""The last lines of `steca compare`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli.compare.ending import headline, next_commands
from configs.comparison import WARM_UP
from flows.compare.results import Episode, Header, Results
from storage.store import Store


def results(won: dict[str, int], reference: str = "SFT") -> Results:
    """Ten unseen tasks, of which each row has won so many, and seen ones that all have lost."""
    episodes = [
        Episode(
            row, 0, split, "beginning", f"{split}-{task}", "pick", split == "unseen" and task < n, 4, 4, 0
        )
        for row, n in won.items()
        for split in ("seen", "unseen")
        for task in range(10)
    ]
    arms = {row: {} for row in won if row != WARM_UP}
    return Results(Header(name="pair", reference=reference, arms=arms, package_version="1"), episodes)


def test_two_arms_have_a_headline() -> None:
    said = headline(results({WARM_UP: 2, "SFT": 4, "STeCa": 7}))
    assert said.startswith("unseen tasks won: STeCa 70.0 %, SFT 40.0 %: +30.0 points (95 %: ")
    assert said.endswith("), 1 seed")


@pytest.mark.parametrize("won", [{"SFT": 4, "STeCa": 7, "RFT": 5}, {"STeCa": 7}, {"SFT": 4}, {}])
def test_others_have_none(won: dict[str, int]) -> None:
    assert headline(results(won)) == ""


def test_the_commands_can_be_typed_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path).ingest()
    monkeypatch.setattr(sys, "argv", [".venv/bin/steca"])
    monkeypatch.setenv("PATH", "")
    commands = list(next_commands(results({"SFT": 4}), Store(tmp_path)))
    assert [command.split()[:2] for command in commands] == [
        [".venv/bin/steca", each] for each in ("sql", "view", "serve")
    ]
    assert all(f"--data-dir {tmp_path}" in command for command in commands)
    (tmp_path / "steca").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert {command.split()[0] for command in next_commands(results({"SFT": 4}), Store(tmp_path))} == {
        "steca"
    }
