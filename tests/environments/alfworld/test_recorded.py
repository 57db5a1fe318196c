"""The official games' recorded expert runs: every observation equals the recorded one, and every run is won."""

from __future__ import annotations

import os

import pytest

from environments.alfworld.official.reader import LAYOUT, data_folder, read_game, read_recording
from environments.alfworld.official.replay import replay, replay_folder

pytestmark = pytest.mark.skipif(
    "ALFWORLD_DATA" not in os.environ, reason="ALFWORLD_DATA is not set: no real games"
)
SAMPLE = 500


def folders():
    return sorted(file.parent for file in (data_folder() / LAYOUT).glob("*/*/*/gt_traj.json"))


def check(chosen):
    assert chosen
    for folder in chosen:
        result = replay_folder(folder)
        assert result.differences == (), folder
        assert result.won, folder


def test_a_fixed_sample_replays_as_recorded():
    every = folders()
    check(every[:: max(1, len(every) // SAMPLE)])


@pytest.mark.slow
def test_all_recorded_runs_replay_as_recorded():
    check(folders())


def test_a_run_without_one_of_its_needed_actions_is_not_won():
    for folder in folders()[::250]:
        game, (first, pairs) = read_game(folder).compile(), read_recording(folder / "gt_traj.json")
        needed = [
            i for i, (action, _) in enumerate(pairs) if action.split()[0] in ("take", "put", "clean", "use")
        ]
        for dropped in needed:
            assert not replay(game, first, pairs[:dropped] + pairs[dropped + 1 :]).won, (folder, dropped)
