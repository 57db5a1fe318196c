"""Exploring: the stored runs represent the run after every prefix, as if each had been played."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rollouts.play import EpisodeSettings, play
from rollouts.rows import Demonstration, demonstrations, explorations
from rollouts.stages.explore import explore, prefix_starts, sample_runs
from steca.types import Trajectory
from storage.records import Record
from tests.support.rollouts_toys import (
    GREEDY,
    LOOK,
    Speak,
    Toy,
    config,
    demonstrated,
    erring,
    forever,
    like_expert,
    of_task,
    runs_of,
    told,
    world,
)

CONFIG = config(environment={"step_cap": 16})


def explored(speak: Speak, count: int = 5) -> list[Record]:
    return explore(world(), Toy(speak), demonstrated(count), CONFIG)


def direct_runs(speak: Speak, demo: Demonstration) -> list[Trajectory]:
    """For every prefix j, the run played from there."""
    settings = EpisodeSettings(CONFIG.environment)
    starts = prefix_starts(world(), demo, settings)
    assert [len(start.steps) for start in starts] == list(range(len(demo.expert.trajectory.steps)))
    return [played.trajectory for played in play(world(), Toy(speak), starts, GREEDY, settings)]


def shared_run(records: Sequence[Record], demo: Demonstration, j: int) -> Trajectory:
    """The run that represents prefix j: the stored one, else that of j + 1, finally the expert's own."""
    if j == len(demo.expert.trajectory.steps):
        return demo.expert.trajectory
    run = explorations(records)[demo.task.task_id].get(j)
    return run.trajectory if run else shared_run(records, demo, j + 1)


def mismatches(records: Sequence[Record], speak: Speak, demo: Demonstration) -> list[int]:
    direct = direct_runs(speak, demo)
    return [j for j, run in enumerate(direct) if told(run) != told(shared_run(records, demo, j))]


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.7])
def test_stored_runs_stand_for_the_run_after_every_prefix(chance: float) -> None:
    speak = erring(chance)
    records = explored(speak)
    for demo in demonstrations(demonstrated(5)):
        assert mismatches(records, speak, demo) == []


def test_a_policy_that_is_no_function_of_its_history_is_seen_by_that_comparison() -> None:
    """Negative control: a policy that drifts from call to call breaks the sharing, and the check above fails."""

    class Drifting(Toy):
        def act(self, histories, seeds, sampling):  # type: ignore[no-untyped-def]
            self.speak = erring(0.5, salt=len(self.sizes))
            return super().act(histories, seeds, sampling)

    records = explore(world(), Drifting(like_expert), demonstrated(5), CONFIG)
    assert any(mismatches(records, erring(0.5), demo) for demo in demonstrations(demonstrated(5)))


def test_only_runs_whose_first_turn_differs_are_stored_beside_the_one_from_scratch() -> None:
    speak = erring(0.25)
    runs = explorations(explored(speak))
    stored_j, shared_j = 0, 0
    for demo in demonstrations(demonstrated(5)):
        expert = demo.expert.trajectory
        differing = {
            j for j, run in enumerate(direct_runs(speak, demo)) if run.steps[j].text != expert.steps[j].text
        }
        assert set(runs[demo.task.task_id]) == {0} | differing
        stored_j += len(differing - {0})
        shared_j += len(expert.steps) - len(differing)
    assert stored_j > 3, "nothing was explored: choose a worse policy"
    assert shared_j > 3, "nothing was shared: choose a better policy"


def test_the_expert_itself_is_stored_once_a_task() -> None:
    runs = explorations(explored(like_expert))
    for demo in demonstrations(demonstrated(5)):
        assert list(runs[demo.task.task_id]) == [0]
        assert told(runs[demo.task.task_id][0].trajectory) == told(demo.expert.trajectory)


def test_a_run_keeps_its_prefix_and_who_wrote_what() -> None:
    [demo] = demonstrations(demonstrated(1))
    runs = explorations(explored(forever(LOOK, at=3), 1))[demo.task.task_id]
    assert sorted(runs) == [0, 3]
    for j, run in runs.items():
        origins = [step.origin for step in run.trajectory.steps]
        assert origins == ["expert"] * j + ["policy"] * (len(origins) - j)
        assert (run.record.prefix_steps, run.record.checkpoint, run.record.kind) == (j, "toy", "explored")
    assert told(runs[0].trajectory) == told(runs[3].trajectory)
    assert runs[0].id != runs[3].id


def test_it_is_greedy_and_counts_the_cap_from_the_episodes_start() -> None:
    toy = Toy(erring(0.7))
    records = explore(world(), toy, demonstrated(5), CONFIG)
    assert {sampling.temperature for sampling in toy.samplings} == {0.0}
    lengths = [len(run.trajectory.steps) for run in runs_of(records, "explored")]
    assert max(lengths) == 16


def test_a_task_is_explored_alike_alone_and_in_a_batch() -> None:
    speak = erring(0.4)
    together = explored(speak)
    for demo in demonstrations(demonstrated(5)):
        mine = of_task(demonstrated(5), demo.task.task_id)
        alone = explore(world(), Toy(speak), mine, CONFIG)
        assert alone == of_task(together, demo.task.task_id)


def test_a_run_that_ends_in_its_first_turn_is_stored_too() -> None:
    """The expert's last prefix, and a cap that leaves room for one turn only."""
    [demo] = demonstrations(demonstrated(1))
    last = len(demo.expert.trajectory.steps) - 1
    tight = config(environment={"step_cap": last + 1})
    records = explore(world(), Toy(forever(LOOK, at=last)), demonstrated(1), tight)
    run = explorations(records)[demo.task.task_id][last]
    assert (len(run.trajectory.steps), run.trajectory.end) == (last + 1, "step_cap")


ERRING = erring(0.4)


def sampled(index: int, speak: Speak = ERRING, **more: object) -> tuple[Toy, list[Record]]:
    toy = Toy(speak)
    settings = config(environment={"step_cap": 16}, exploration={"samples": 8, "temperature": 0.7}, **more)
    return toy, sample_runs(world(), toy, demonstrated(4), settings, index)


def test_sampled_runs_are_whole_and_know_how_they_were_sampled() -> None:
    toy, rows = sampled(2)
    runs = runs_of(rows, "sampled")
    assert [run.record.task_id for run in runs] == [d.task.task_id for d in demonstrations(demonstrated(4))]
    assert {sampling.temperature for sampling in toy.samplings} == {0.7}
    assert {(run.record.sample_index, run.record.temperature, run.record.prefix_steps) for run in runs} == {
        (2, 0.7, 0)
    }
    assert len({run.record.seed for run in runs}) == len(runs)
    assert {step.origin for run in runs for step in run.trajectory.steps} == {"policy"}
    assert explorations(rows) == {}  # no greedy run


def test_samples_differ_by_their_index_and_repeat() -> None:
    first, again, second = (sampled(index)[1] for index in (0, 0, 1))
    assert first == again
    texts = [[told(run.trajectory) for run in runs_of(rows, "sampled")] for rows in (first, second)]
    assert texts[0] != texts[1]
    assert first != sampled(0, seed=1)[1]


def test_equal_runs_that_were_sampled_apart_are_rows_of_their_own() -> None:
    """Or a frequent run would count once among the samples of its task."""
    first, second = (runs_of(sampled(index, like_expert)[1], "sampled") for index in (0, 1))
    assert [told(run.trajectory) for run in first] == [told(run.trajectory) for run in second]
    assert {run.id for run in first}.isdisjoint(run.id for run in second)
