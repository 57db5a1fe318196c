"""Stages on worlds as users write them: few or blocking environments, lost episodes, recorded and failing experts."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from environments.base import EnvironmentFault, StepResult
from environments.complete import CompleteWorld
from environments.states import attempts
from environments.states.replays import ReplayedStates
from environments.template.world import House, World
from models.policy import Generation, Sampling
from rollouts import play as playing
from rollouts.play import EpisodeSettings, PlayedEpisode, Start, play, start_of
from rollouts.rows import demonstrations, of_type, stored_trajectories
from rollouts.stages.calibrate import calibrate
from rollouts.stages.decide import decide
from rollouts.stages.demonstrate import demonstrate
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from steca.action_formats import FORMATS, REACT
from steca.types import Turn
from steca.vocabulary import ActionFormatName
from storage.records import RolloutRecord
from storage.rollout_pool import RolloutPool
from tasks.resources.reflectors import template_reflector
from tests.support.own_worlds import (
    Bare,
    Counted,
    Failing,
    Forgetful,
    Lazy,
    Mixing,
    Sharing,
    Snapping,
    completed,
)
from tests.support.rollouts_toys import GREEDY, Toy, config

EVERY = {"preset": "every_failure"}
SETTINGS = EpisodeSettings(config().environment)
HOUSE = House()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WAITS", (0.0, 0.0))


def wandering(now: Any) -> str:
    """The expert, but one turn in four goes to a room that is drawn."""
    turn = HOUSE.expert_turn(now.first_observation, now.steps)
    if now.chance.random() < 0.25 or turn is None:
        return REACT.text(Turn("Perhaps.", f"enter {now.chance.choice(['attic', 'hall', 'studio'])}"))
    return REACT.text(turn)


def played(world: CompleteWorld, count: int = 6, policy: Any = None) -> list[PlayedEpisode]:
    starts = [start_of(world, task, seed) for seed, task in enumerate(world.tasks("train", count, 0))]
    return play(world, policy or Toy(wandering), starts, Sampling(temperature=1.0), SETTINGS)


def told(runs: list[PlayedEpisode]) -> list[Any]:
    return [[(step.text, step.observation) for step in run.trajectory.steps] for run in runs]


def test_episodes_do_not_depend_on_how_states_are_kept() -> None:
    whole = told(played(completed(Snapping())))
    assert told(played(completed(World()))) == whole
    assert told(played(completed(Counted(live=2)))) == whole


def test_no_more_episodes_run_than_there_are_environments() -> None:
    """With as many episodes as environments, only branches are replayed."""
    own, policy = Counted(live=2), Toy(wandering)
    world = completed(own)
    played(world, 6, policy)
    assert max(policy.sizes) == 2
    assert len(own.made) == 2
    assert isinstance(world.states, ReplayedStates)
    assert world.states.counts.replayed == 0


def test_batches_beside_each_other_share_the_environments() -> None:
    own = Counted(live=3)
    world = completed(own)
    tasks = world.tasks("train", 8, 0)
    batches = [[start_of(world, task) for task in tasks] for _ in range(4)]

    def batch(starts: list[Start]) -> int:
        return len(play(world, Toy(wandering), starts, Sampling(temperature=1.0), SETTINGS))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(batch, batches)) == [8] * 4
    assert len(own.made) == 3
    assert isinstance(world.states, ReplayedStates)
    assert world.states.counts.replayed == 0
    assert world.places.free == 3


class Blocking(World):
    """Its environments take their time, as a server would, and note how many work at once."""

    blocking = True
    live_environments = 4

    def __init__(self) -> None:
        self.working = self.most = 0
        self.lock = threading.Lock()

    def environment(self) -> House:
        return BlockingHouse(self)


class BlockingHouse(House):
    def __init__(self, world: Blocking) -> None:
        self.world = world

    def step(self, action: str) -> StepResult:
        with self.world.lock:
            self.world.working += 1
            self.world.most = max(self.world.most, self.world.working)
        time.sleep(0.01)
        with self.world.lock:
            self.world.working -= 1
        return super().step(action)


class Answering:
    """A policy whose server answers each request on its own: `answers` waits for one, or until it is woken."""

    digest = "answering"

    def act(self, *_: Any) -> list[Generation]:
        raise AssertionError("it has a turn queue")

    def turn_queue(self, sampling: Sampling) -> Any:
        from queue import SimpleQueue

        outer, waiting = self, SimpleQueue[Any]()

        class Queue:
            def ask(self, ticket: int, history: Any, seed: int, choices: Any = None) -> None:
                [turn] = Toy(wandering).act([list(history)], [seed], sampling)
                waiting.put((ticket, turn))

            def answers(self) -> list[Any]:
                return [one for one in [waiting.get()] if one]

            def wake(self) -> None:
                waiting.put(None)

            def cancel(self) -> None: ...

        assert outer
        return Queue()


@pytest.mark.parametrize("policy", [Toy(wandering), Answering()], ids=["lockstep", "served"])
def test_blocking_environments_are_stepped_together(policy: Any) -> None:
    own = Blocking()
    assert told(played(completed(own), 8, policy)) == told(played(completed(World()), 8))
    assert own.most > 1


def test_what_a_blocking_environment_raises_stops_the_stage() -> None:
    class Broken(Blocking):
        def environment(self) -> House:
            return BrokenHouse()

    class BrokenHouse(House):
        def step(self, action: str) -> StepResult:
            raise KeyError("door")

    with pytest.raises(EnvironmentFault, match=r"step\('enter \w+'\) raised KeyError: 'door'"):
        played(completed(Broken()))


def test_an_episode_that_the_world_loses_is_data() -> None:
    """Three failures in a row lose one episode; the others go on, and it ends as it stood."""
    world = completed(Failing(at=[20, 21, 22, 23, 24, 25, 26, 27]))
    assert world.failures.told() == []
    runs = played(world, 6)
    lost = [run.trajectory for run in runs if run.trajectory.end == "environment_fault"]
    assert 1 <= len(lost) < 6
    assert all(run.outcome == 0.0 and not run.success for run in lost)
    assert any(run.trajectory.success for run in runs)
    assert (world.failures.lost, world.failures.retried) == (len(lost), 8 - len(lost))
    (said,) = world.failures.told()
    assert said.startswith("the world's environments failed ")
    ended = "could not be continued and end where they stood (environment_fault), and the same command plays what was "
    assert f"{ended}lost again; for example task " in said
    assert world.failures.unfinished == {run.task_id for run in lost}
    assert said.endswith("ConnectionError: the server is gone (3 attempts)")


def test_a_rollout_that_the_world_lost_is_not_kept_for_other_runs(tmp_path: Path) -> None:
    settings = config(rewards={"mode": "fixed", "rollouts": 4}, deviation={"preset": "paper"})
    world = completed(World())
    rows = demonstrate(world, world.tasks("train", 4, 0), config())
    rows += explore(world, Toy(wandering), rows, settings)
    pool = RolloutPool(tmp_path, "toy")
    failing = completed(Failing(at=range(80, 88)))
    played = of_type(score(failing, Toy(wandering), rows, settings, pool=pool), RolloutRecord)
    lost = [row for row in played if row.end_reason == "environment_fault"]
    kept = {key for task in failing.failures.unfinished for key in pool.load(task)}
    assert 1 <= len(lost) < len(played)
    assert kept
    assert not kept & {(row.step_reward_id, row.sample_index) for row in lost}
    again = of_type(score(world, Toy(wandering), rows, settings, pool=pool), RolloutRecord)
    assert again == of_type(score(world, Toy(wandering), rows, settings), RolloutRecord)


def test_one_task_that_is_lost_again_alone_does_not_stop_a_stage() -> None:
    """As in a second attempt, which plays only what the first one lost. Eight of these in a row do."""
    world = completed(Failing(after=3))
    start = start_of(world, world.tasks("train", 1, 0)[0])
    alone = [play(world, Toy(wandering), [start], Sampling(temperature=1.0), SETTINGS)[0] for _ in range(7)]
    assert {run.trajectory.end for run in alone} == {"environment_fault"}
    with pytest.raises(EnvironmentFault, match="the world lost 8 episodes in a row"):
        play(world, Toy(wandering), [start], Sampling(temperature=1.0), SETTINGS)


def test_a_world_that_loses_one_episode_after_another_stops_the_stage() -> None:
    world, finished = completed(Failing(after=30)), list[int]()
    starts = [start_of(world, task) for task in world.tasks("train", 40, 0)]
    with pytest.raises(
        EnvironmentFault, match=r"the world lost 8 episodes in a row, the last one: .*server is gone"
    ):
        play(
            world,
            Toy(wandering),
            starts,
            GREEDY,
            SETTINGS,
            on_finished=lambda index, run: finished.append(index),
        )
    assert playing.MAX_LOST == 8
    assert finished == [], "nothing that a broken world has played is stored"


def test_an_expert_run_that_cannot_be_repeated_is_not_used() -> None:
    for own in (Snapping(aliasing=True), Forgetful()):
        lines: list[str] = []
        world = completed(own)
        rows = demonstrate(world, world.tasks("train", 7, 0), config(), log=lines.append)
        assert demonstrations(rows) == []
        assert len(lines) == 6
        assert all(line.startswith("expert run not used: task ") for line in lines[:5])
        assert lines[5] == "expert runs not used: 2 more of this batch"


@pytest.mark.parametrize(
    ("own", "told"),
    [
        (
            Sharing(),
            r"environment\(\) gave a House that it gave before, and episodes are played beside each other",
        ),
        (
            Mixing(),
            r"step \d, 'enter \w+', was answered .* while task .* is played beside it: make a new one",
        ),
    ],
)
def test_environments_that_share_something_are_refused_before_anything_is_stored(own: Any, told: str) -> None:
    """Control: the other worlds of this file, which share nothing."""
    world = completed(own)
    with pytest.raises(EnvironmentFault, match=told):
        demonstrate(world, world.tasks("train", 6, 0), config())


def test_one_answer_that_was_another_one_by_chance_is_not_taken_for_something_shared() -> None:
    """Wherever in the stage it is given."""

    class Once(World):
        """It answers otherwise once, at the step with a number."""

        def __init__(self, at: int) -> None:
            self.at, self.steps = at, 0

        def environment(self) -> House:
            return OnceHouse(self)

    class OnceHouse(House):
        def __init__(self, world: Once) -> None:
            self.world = world

        def step(self, action: str) -> StepResult:
            self.world.steps += 1
            result = super().step(action)
            return replace(result, observation="Fog.") if self.world.steps == self.world.at else result

    diverged = 0
    for at in range(1, 90, 4):
        world = completed(Once(at))
        runs = stored_trajectories(demonstrate(world, world.tasks("train", 3, 0), config()))
        diverged += sum(run.record.end_reason == "replay_diverged" for run in runs)
    assert diverged > 5


def test_an_aliasing_snapshot_is_told_with_where_it_shows() -> None:
    lines: list[str] = []
    world = completed(Snapping(aliasing=True))
    rows = demonstrate(world, world.tasks("train", 1, 0), config(), log=lines.append)
    assert "when played again from" in lines[0]
    [run] = stored_trajectories(rows)
    assert (run.record.end_reason, run.record.success) == ("replay_diverged", False)


def test_an_expert_that_stops_early_is_stored_as_what_it_is() -> None:
    world = completed(Lazy())
    rows = demonstrate(world, world.tasks("train", 12, 0), config())
    ends = [run.record.end_reason for run in stored_trajectories(rows)]
    assert {"running", "done"} == set(ends)
    assert len(demonstrations(rows)) == ends.count("done")


def recorded(world: CompleteWorld, count: int, form: ActionFormatName = "react") -> list[dict[str, Any]]:
    """Conversations of the expert, as another tool would have stored them."""
    rows = demonstrate(world, world.tasks("train", count, 0), config())
    lines = []
    for run in stored_trajectories(rows):
        said = [{"from": "human", "value": run.trajectory.first_observation}]
        for step in run.trajectory.steps:
            text = FORMATS[form].text(Turn(step.thought, step.action))
            said += [
                {"from": "gpt", "value": text},
                {"from": "human", "value": f"Observation: {step.observation}"},
            ]
        lines.append({"id": run.record.task_id, "conversations": said})
    return lines


@pytest.mark.parametrize("form", FORMATS)
def test_recorded_runs_are_demonstrations_in_every_form_of_turns(
    form: ActionFormatName, tmp_path: Path
) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text("\n".join(map(json.dumps, recorded(completed(World()), 4, form))))
    world = completed(Bare(), demonstrations=file, action_format=form)
    rows = demonstrate(world, world.tasks("train", 5, 0), config())
    demos = demonstrations(rows)
    assert [demo.task for demo in demos] == world.tasks("train", 4, 0)
    for demo in demos:
        for step in demo.expert.trajectory.steps:
            assert step.text == FORMATS[form].text(Turn(step.thought, step.action))


def test_a_recorded_run_that_diverges_is_set_aside_with_its_line(tmp_path: Path) -> None:
    lines = recorded(completed(World()), 3)
    lines[1]["conversations"][4]["value"] = "Observation: You are on the moon."
    file = tmp_path / "runs.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    world, said = completed(Bare(), demonstrations=file), list[str]()
    rows = demonstrate(world, world.tasks("train", 3, 0), config(), log=said.append)
    assert len(demonstrations(rows)) == 2
    [line] = said
    assert "line 2: step 2, " in line
    assert "'Observation: You are on the moon.' and is answered 'You" in line


def test_rewards_are_the_same_with_snapshots_and_with_replays() -> None:
    settings = config(
        environment={"name": "own", "options": {}},
        rewards={"mode": "fixed", "rollouts": 3},
        deviation={"preset": "paper"},
    )
    evidence = []
    for own in (Snapping(), Counted(live=3)):
        world = completed(own)
        rows = demonstrate(world, world.tasks("train", 4, 0), settings)
        rows += explore(world, Toy(wandering), rows, settings)
        scored = of_type(score(world, Toy(wandering), rows, settings), RolloutRecord)
        evidence.append([(row.outcome, row.actions, row.end_reason, row.rollout_id) for row in scored])
    assert evidence[0] == evidence[1]
    assert len({outcome for outcome, *_ in evidence[0]}) == 2, "too alike to show a mix-up"


@pytest.mark.parametrize("form", FORMATS)
def test_repairs_are_written_in_the_form_of_turns(form: ActionFormatName) -> None:
    """Also the turn that carries the reflection. Control: the deviated turn of the other form would have no action."""
    settings = config(environment={"name": "own", "options": {}, "action_format": form}, deviation=EVERY)
    world = completed(Snapping(), action_format=form)

    def errs_once(now: Any) -> str:
        return FORMATS[form].text(Turn("Perhaps.", "dance"))

    rows = demonstrate(world, world.tasks("train", 3, 0), settings)
    rows += explore(world, Toy(errs_once), rows, settings)
    rows += decide(rows, settings.deviation, settings.rewards)
    repairs = calibrate(world, template_reflector(world), rows, settings)
    kept = [run for run in stored_trajectories(repairs) if run.record.kind == "calibrated"]
    assert kept
    for run in kept:
        for step in run.trajectory.steps:
            assert step.text == FORMATS[form].text(Turn(step.thought, step.action))
