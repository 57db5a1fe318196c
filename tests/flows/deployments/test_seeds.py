"""`seed: next` advances over the runs that differ in nothing else."""

from __future__ import annotations

from pathlib import Path

from flows.deployments.seeds import next_seed, with_next_seed
from flows.runs.run import folder_of, open_run
from tests.support.tiny_factory import tiny


def test_the_first_run_has_the_configured_seed_and_each_further_one_the_next(tmp_path: Path) -> None:
    config = tiny(tmp_path, "seed=4")
    assert next_seed(config) == 4
    for expected in (4, 5, 6):
        made = with_next_seed(config)
        assert made.seed == expected
        assert made == config.model_copy(update={"seed": expected})
        open_run(folder_of(made), made)


def test_runs_with_other_settings_or_names_do_not_count(tmp_path: Path) -> None:
    for other in ("rewards.rollouts=3", "name=other"):
        config = tiny(tmp_path, "seed=9", other)
        open_run(folder_of(config), config)
    assert next_seed(tiny(tmp_path)) == 0


def test_how_a_run_is_done_makes_no_difference(tmp_path: Path) -> None:
    config = tiny(tmp_path, "budget.rollouts=9", "execution.batch_tasks=3")
    open_run(folder_of(config), config)
    assert next_seed(tiny(tmp_path)) == 1
