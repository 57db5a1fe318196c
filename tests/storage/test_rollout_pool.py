"""Batches that want rollouts of the same tasks: one plays them, the others play something else first, then wait."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from storage.rollout_pool import RolloutPool
from tests.support.tiny_factory import ROOT


class Ended(Exception):
    pass


def ending(seconds: float) -> None:
    raise Ended


def test_what_another_batch_plays_is_left_to_it(tmp_path: Path) -> None:
    one, other = RolloutPool(tmp_path, "scorer"), RolloutPool(tmp_path, "scorer", wait=ending)
    with one.playing(["a", "b"]) as mine:
        assert mine == {"a", "b"}
        with other.playing(["b", "c"]) as free:
            assert free == {"c"}
        with pytest.raises(Ended), other.playing(["b"]):
            raise AssertionError("it is being played")
    with other.playing(["a", "b"]) as free:
        assert free == {"a", "b"}


def test_it_waits_where_others_play_everything_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    one, other = RolloutPool(tmp_path, "scorer"), RolloutPool(tmp_path, "scorer", said.append)
    got = threading.Event()

    def wait() -> None:
        with other.playing(["a"]):
            got.set()

    with one.playing(["a"]):
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        assert not got.wait(0.5)
    assert got.wait(30)
    thread.join(30)
    assert said == ["another batch plays rollouts of the same 1 tasks: waiting for them"]


def test_other_scorers_and_forced_stages_do_not_wait(tmp_path: Path) -> None:
    with RolloutPool(tmp_path, "scorer").playing(["a"]):
        for free in (
            RolloutPool(tmp_path, "another", wait=ending),
            RolloutPool(tmp_path, "scorer", fresh=True),
        ):
            with free.playing(["a"]) as mine:
                assert mine == {"a"}


def test_a_process_that_is_killed_plays_nothing_any_more(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from storage.rollout_pool import RolloutPool\n"
        "with RolloutPool(Path(sys.argv[1]), 'scorer').playing(['a']): print('playing', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "playing\n"
        pool = RolloutPool(tmp_path, "scorer", wait=ending)
        with pytest.raises(Ended), pool.playing(["a"]):
            raise AssertionError("it is being played")
        process.kill()
        process.wait()
        with pool.playing(["a"]) as mine:
            assert mine == {"a"}
