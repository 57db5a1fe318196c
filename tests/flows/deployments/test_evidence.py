"""The verdicts that the form of a paused run shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.deployments.evidence import shown_before
from tests.support.made_up_run import made_up_run
from tests.support.store_rows import deviation, task, trajectory


def lines(root: Path, **config: object) -> list[str]:
    rows = [
        task("task"), trajectory("x"),
        deviation("both", "deviated", ("r", 0.8, 5), ("s", 0.0, 1)),
        deviation("ended", "deviated", ("r", 0.8, 5), ("t", 0.0, 0), step_index=2),
        deviation("one", "not_deviated", ("q", 0.0, 5), step_index=3),
        deviation("none", "not_deviated", step_index=4),
        deviation("left out", "filtered", rule="run succeeded", step_index=5),
    ]  # fmt: skip
    source = made_up_run(root, {("rewards", 1): rows}, **config)
    assert source.config
    return shown_before(source.config, source.folder, "calibrate", 1).splitlines()


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (1, "mean success 0.00 over 1 rollout, before it 0.80 over 5 rollouts; gap -0.80 (interval "),
        (
            2,
            "mean success 0.00 (the episode ended there), before it 0.80 over 5 rollouts; gap -0.80 (interval ",
        ),
        (3, "before it mean success 0.00 over 5 rollouts, which decides alone"),
        (4, "decided without rollouts"),
    ],
)
def test_a_verdict_has_the_means_that_decided_it(step: int, said: str, tmp_path: Path) -> None:
    [line] = [line for line in lines(tmp_path) if f', step {step} of "put a cup in the sink"' in line]
    assert f"`go` instead of `look`; {said}" in line


def test_the_means_are_those_of_what_the_rule_compares(tmp_path: Path) -> None:
    assert any(
        "; mean progress 0.00 over" in line for line in lines(tmp_path, deviation={"outcome": "progress"})
    )


def test_only_the_verdicts_that_there_are_are_explained(tmp_path: Path) -> None:
    explained = "deviated: a mistake by the run's rule; not deviated: no mistake; filtered: not judged, for the reason"
    assert f"{explained} beside it." in lines(tmp_path)
