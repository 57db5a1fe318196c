"""Lock-step equality with the official ALFWorld engine, on real and on generated games. Slow: `make parity-official`.

PARITY_GAMES (default 6) and PARITY_STEPS (default 25) say how much: 0.2 to 0.5 s a step, all in the official engine.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

from environments.alfworld.generation.world import GeneratedAlfworld
from environments.alfworld.official.trials import trial_folder
from environments.alfworld.official.world import RealAlfworld
from tests.support.official_layout import export_game

HERE = importlib.util.find_spec("alfworld") and importlib.util.find_spec("fast_downward")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(0),
    pytest.mark.skipif(not HERE, reason="the official engine is not installed: pip install -e .[alfworld]"),
]
GAMES = int(os.environ.get("PARITY_GAMES", "6"))
STEPS = int(os.environ.get("PARITY_STEPS", "25"))


def compare(files: list[Path]) -> None:
    from tests.parity.lockstep import Comparison, walk

    comparison = Comparison()
    for seed, file in enumerate(files):
        walk(file, seed, STEPS, comparison)
    print(
        f"{comparison.steps} steps, {comparison.invalid} inadmissible, {len(comparison.mismatches)} mismatches"
    )
    assert comparison.steps > len(files)
    assert comparison.invalid > 0
    assert comparison.mismatches == []


@pytest.mark.skipif("ALFWORLD_DATA" not in os.environ, reason="ALFWORLD_DATA is not set: no real games here")
@pytest.mark.parametrize("split", ["train", "seen"])
def test_real_games_play_as_in_the_official_engine(split):
    tasks = RealAlfworld({}).tasks(split, GAMES, seed=3)
    compare(
        [trial_folder(Path(os.environ["ALFWORLD_DATA"]), task.payload) / "game.tw-pddl" for task in tasks]
    )


def test_generated_games_play_as_in_the_official_engine(tmp_path):
    tasks = GeneratedAlfworld({}).tasks("unseen", GAMES, seed=3)
    compare([export_game(task, tmp_path / str(number)) for number, task in enumerate(tasks)])


def test_the_new_dialect_plays_as_in_the_official_engine(tmp_path):
    """Games under the rules and texts that the installed package ships ("move X to Y", "help")."""
    import alfworld

    shipped = Path(alfworld.__file__).parent / "data"
    tasks = GeneratedAlfworld({}).tasks("train", GAMES, seed=3)
    files = [export_game(task, tmp_path / str(number)) for number, task in enumerate(tasks)]
    for file in files:
        game = json.loads(file.read_text())
        game["pddl_domain"] = (shipped / "alfred.pddl").read_text()
        game["grammar"] = (shipped / "alfred.twl2").read_text().replace("UNKNOWN GOAL", "put it there")
        file.write_text(json.dumps(game))
    compare(files)


def test_a_difference_is_noticed(tmp_path):
    from tests.parity.lockstep import Comparison, walk

    (task,) = GeneratedAlfworld({}).tasks("train", 1, seed=3)
    file = export_game(task, tmp_path)
    comparison = Comparison()
    walk(file, 0, 2, comparison, ours_from=altered(file, tmp_path / "altered"))
    assert comparison.mismatches


def altered(file: Path, folder: Path) -> Path:
    folder.mkdir()
    copy = folder / file.name
    copy.write_text(
        file.read_text().replace("You arrive at", "You come to").replace("you see #", "you saw #")
    )
    return copy
