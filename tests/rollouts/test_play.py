"""Playing: an episode's result depends on its start and seed only, and caps count from the start of the episode."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from rollouts import play as playing
from rollouts.play import EpisodeSettings, PlayedEpisode, Start, execute, play, start_of
from rollouts.rows import demonstrations
from tests.support.rollouts_toys import (
    GARBAGE,
    GREEDY,
    LOOK,
    SAMPLED,
    Seen,
    Toy,
    always,
    config,
    demonstrated,
    erring,
    executed,
    like_expert,
    tasks,
    told,
    world,
)

EPISODE_SETTINGS = EpisodeSettings(config(environment={"step_cap": 15, "invalid_streak": 4}).environment)


def starts(count: int = 5, seeds: int = 2) -> list[Start]:
    return [start_of(world(), task, seed) for task in tasks(count) for seed in range(1, seeds + 1)]


def results(played: list[PlayedEpisode]) -> list[tuple[object, ...]]:
    return [(*told(run.trajectory), run.progress, run.trajectory.prefix) for run in played]


def test_the_expert_as_policy_plays_the_demonstrations() -> None:
    demos = demonstrations(demonstrated(6))
    played = play(
        world(), Toy(like_expert), [start_of(world(), d.task) for d in demos], GREEDY, EPISODE_SETTINGS
    )
    assert [told(run.trajectory) for run in played] == [told(d.expert.trajectory) for d in demos]
    assert all(run.trajectory.success and run.progress == 1.0 for run in played)
    assert {s.origin for run in played for s in run.trajectory.steps} == {"policy"}
    assert {s.tokens for run in played for s in run.trajectory.steps} == {7}


def test_results_do_not_depend_on_order_or_on_what_shares_the_batch() -> None:
    these = starts()
    whole = results(play(world(), Toy(erring(0.4)), these, SAMPLED, EPISODE_SETTINGS))
    assert len({str(result) for result in whole}) == len(whole), "too alike to show a mix-up"
    alone = [
        results(play(world(), Toy(erring(0.4)), [start], SAMPLED, EPISODE_SETTINGS))[0] for start in these
    ]
    assert alone == whole
    order = random.Random(0).sample(range(len(these)), len(these))
    shuffled = results(play(world(), Toy(erring(0.4)), [these[i] for i in order], SAMPLED, EPISODE_SETTINGS))
    assert shuffled == [whole[i] for i in order]


def test_a_policy_that_looks_at_its_batch_is_seen_by_that_comparison() -> None:
    """Negative control: the test above can fail."""

    class Crowded(Toy):
        def act(self, histories, seeds, sampling):  # type: ignore[no-untyped-def]
            written = super().act(histories, seeds, sampling)
            return written if len(histories) > 1 else super().act(histories, [seeds[0] + 1], sampling)

    these = starts()
    whole = results(play(world(), Crowded(erring(0.4)), these, SAMPLED, EPISODE_SETTINGS))
    alone = [
        results(play(world(), Crowded(erring(0.4)), [start], SAMPLED, EPISODE_SETTINGS))[0] for start in these
    ]
    assert alone != whole


@pytest.mark.parametrize("running", [1, 3])
def test_results_do_not_depend_on_how_many_run_at_once(monkeypatch: pytest.MonkeyPatch, running: int) -> None:
    these = starts()
    whole = results(play(world(), Toy(erring(0.4)), these, SAMPLED, EPISODE_SETTINGS))
    monkeypatch.setattr(playing, "MAX_RUNNING", running)
    few = Toy(erring(0.4))
    assert results(play(world(), few, these, SAMPLED, EPISODE_SETTINGS)) == whole
    assert max(few.sizes) == running


def test_every_turn_of_every_episode_has_a_seed_of_its_own() -> None:
    toy = Toy(always(LOOK))
    task = tasks(1)[0]
    these = [start_of(world(), task, seed) for seed in (1, 2, 1)]
    play(world(), toy, these, SAMPLED, EPISODE_SETTINGS)
    by_turn = [toy.asked[i : i + 3] for i in range(0, len(toy.asked), 3)]
    assert [turn for batch in by_turn for turn, _ in batch] == [t for t in range(15) for _ in these]
    assert all(a == c for a, _, c in by_turn), "equal (seed, turn) has an equal stream"
    assert len({seed for _, seed in toy.asked}) == 2 * 15, "no other two turns share one"


def test_a_seed_counts_from_the_start_of_the_episode() -> None:
    """Turn t has the same seed whether the turns before it were played or replayed."""
    start = start_of(world(), tasks(1)[0], seed=5)
    whole = Toy(always(LOOK))
    play(world(), whole, [start], SAMPLED, EPISODE_SETTINGS)
    after = execute(world(), start, [LOOK] * 4, "expert", EPISODE_SETTINGS)[-1].resume(start.task, seed=5)
    rest = Toy(always(LOOK))
    play(world(), rest, [after], SAMPLED, EPISODE_SETTINGS)
    assert rest.asked == whole.asked[4:]


@pytest.mark.parametrize("replayed", [0, 1, 6])
def test_the_step_cap_counts_replayed_steps(replayed: int) -> None:
    start = start_of(world(), tasks(1)[0])
    if replayed:
        start = execute(world(), start, [LOOK] * replayed, "expert", EPISODE_SETTINGS)[-1].resume(start.task)
    toy = Toy(always(LOOK))
    [run] = play(world(), toy, [start], GREEDY, EPISODE_SETTINGS)
    assert (len(run.trajectory.steps), run.trajectory.end, run.trajectory.prefix) == (
        15,
        "step_cap",
        replayed,
    )
    assert len(toy.sizes) == 15 - replayed
    assert [s.origin for s in run.trajectory.steps] == ["expert"] * replayed + ["policy"] * (15 - replayed)
    assert run.trajectory.outcome == 0.0


def test_an_invalid_streak_ends_an_episode_and_a_broken_one_does_not() -> None:
    [run] = play(world(), Toy(always(GARBAGE)), starts(1, 1), GREEDY, EPISODE_SETTINGS)
    assert (run.trajectory.end, len(run.trajectory.steps)) == ("invalid_streak", 4)

    def now_and_then(now: Seen) -> str:
        return LOOK if len(now.steps) % 4 == 3 else GARBAGE

    [run] = play(world(), Toy(now_and_then), starts(1, 1), GREEDY, EPISODE_SETTINGS)
    assert (run.trajectory.end, len(run.trajectory.steps)) == ("step_cap", 15)


def test_an_unparsable_turn_costs_a_step_and_keeps_its_text() -> None:
    def late(now: Seen) -> str:
        return like_expert(now) if now.steps else GARBAGE

    [demo] = demonstrations(demonstrated(1))
    [run] = play(world(), Toy(late), [start_of(world(), demo.task)], GREEDY, EPISODE_SETTINGS)
    lost = run.trajectory.steps[0]
    assert (lost.text, lost.thought, lost.action, lost.valid) == (GARBAGE, "", "", False)
    assert lost.observation == "Nothing happens."
    assert run.trajectory.success
    assert run.trajectory.actions[1:] == demo.expert.trajectory.actions


def test_a_probe_plays_one_turn_and_still_says_that_it_won() -> None:
    [demo] = demonstrations(demonstrated(1))
    texts = [step.text for step in demo.expert.trajectory.steps]
    first = start_of(world(), demo.task)
    last = execute(world(), first, texts[:-1], "expert", EPISODE_SETTINGS)[-1].resume(demo.task)
    probe = EpisodeSettings(EPISODE_SETTINGS.environment, turns=1)
    ends = [run.trajectory for run in play(world(), Toy(like_expert), [first, last], GREEDY, probe)]
    assert [(run.end, len(run.steps)) for run in ends] == [("running", 1), ("done", len(texts))]
    assert ends[1].success
    assert not ends[0].success


def test_a_probe_played_on_is_the_whole_run() -> None:
    these = starts(4, 1)
    whole = play(world(), Toy(erring(0.4)), these, GREEDY, EPISODE_SETTINGS)
    probes = play(
        world(), Toy(erring(0.4)), these, GREEDY, EpisodeSettings(EPISODE_SETTINGS.environment, turns=2)
    )
    rest = play(
        world(), Toy(erring(0.4)), [p.resume(s.task) for p, s in zip(probes, these, strict=True)], GREEDY,
        EPISODE_SETTINGS,
    )  # fmt: skip
    assert [told(run.trajectory) for run in rest] == [told(run.trajectory) for run in whole]
    assert [run.progress for run in rest] == [run.progress for run in whole]


def test_recorded_episodes_replay_in_a_fresh_environment() -> None:
    these = starts(4, 2)
    for start, run in zip(
        these, play(world(), Toy(erring(0.4)), these, SAMPLED, EPISODE_SETTINGS), strict=True
    ):
        again = executed(start.task, [step.text for step in run.trajectory.steps])
        assert again == (
            [step.observation for step in run.trajectory.steps],
            run.trajectory.outcome,
            run.trajectory.end == "done",
        )


def test_progress_is_reported_monotonically_to_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "MAX_RUNNING", 3)
    heard: list[tuple[int, int]] = []
    play(
        world(),
        Toy(erring(0.4)),
        starts(),
        SAMPLED,
        EPISODE_SETTINGS,
        lambda done, of: heard.append((done, of)),
    )
    assert {of for _, of in heard} == {10}
    assert all(a <= b for (a, _), (b, _) in itertools.pairwise(heard))
    assert heard[0][0] < 10
    assert heard[-1] == (10, 10)


def test_nothing_to_play_asks_nothing() -> None:
    toy = Toy(like_expert)
    assert play(world(), toy, [], GREEDY, EPISODE_SETTINGS) == []
    assert toy.sizes == []


def test_episodes_that_join_later_are_played_like_all_others() -> None:
    """The first of each pair starts; the second one joins when it has ended."""
    these = starts()
    whole = results(play(world(), Toy(erring(0.4)), these, SAMPLED, EPISODE_SETTINGS))
    toy, joined = Toy(erring(0.4)), these[::2]

    def on_finished(index: int, run: PlayedEpisode) -> list[Start]:
        assert run.trajectory.task_id == joined[index].task.task_id
        more = [replace(joined[index], seed=2)] if index < len(these[::2]) else []
        joined.extend(more)
        return more

    played = results(play(world(), toy, these[::2], SAMPLED, EPISODE_SETTINGS, None, on_finished))
    assert played[: len(these[::2])] == whole[::2]
    assert sorted(map(str, played)) == sorted(map(str, whole))
    lockstep = Toy(erring(0.4))
    for half in (these[::2], these[1::2]):
        play(world(), lockstep, half, SAMPLED, EPISODE_SETTINGS)
    assert len(toy.sizes) < len(lockstep.sizes), "those that joined should run beside the others"
