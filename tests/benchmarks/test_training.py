"""The two ways that `benchmarks.training` compares are the same training."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.training import BARE, TRAINER, Run, Workload, largest_difference, measure, workload
from models.checkpoint import load

SMALL = ("policy.small.layers=1", "policy.small.hidden_size=32", "policy.small.heads=2")
STEPS = 3


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return workload(10, STEPS, tmp_path_factory.mktemp("work"), (*SMALL, "warmup.batch_size=4"))


def test_both_ways_learn_the_same(work: Workload) -> None:
    found = measure(work, [1], 1)
    assert [len(run.losses) for runs in found.values() for run in runs] == [STEPS, STEPS]
    assert largest_difference(found) < 1e-5
    assert all(run.wall > 0 for runs in found.values() for run in runs)


def test_another_training_is_noticed(work: Workload) -> None:
    """Negative control: another learning rate changes the losses after the first steps."""
    other = replace(work, config=work.config.model_copy(update={"learning_rate": 1e-1}))
    [[bare]] = (runs for (_, name), runs in measure(other, [1], 1).items() if name == BARE)
    [[trainer]] = (runs for (_, name), runs in measure(work, [1], 1).items() if name == TRAINER)
    assert largest_difference({(1, BARE): [bare], (1, TRAINER): [trainer]}) > 1e-3


def test_tokens_are_those_of_the_timed_steps(work: Workload) -> None:
    """Without padding, and without the first step."""
    objective = work.objective(*load(work.base))
    seen = [int(objective.collate(items)["attention_mask"].sum()) for items in work.batches(objective)]
    assert len(seen) == STEPS
    assert work.tokens() == sum(seen[1:])


def test_the_largest_difference_is_relative() -> None:
    runs = {(1, BARE): [Run(1, 1, 0, (2.0, 4.0))], (1, TRAINER): [Run(1, 1, 0, (2.0, 3.0))]}
    assert largest_difference(runs) == 0.25
