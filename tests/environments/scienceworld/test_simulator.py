"""The simulator itself: repeatable episodes, outcomes, and what happens if its JVM ends. Slow: a JVM is started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from environments.base import EnvironmentFault, StepResult, Task
from environments.scienceworld.catalog import TASK_TYPES
from environments.scienceworld.environment import UNKNOWN_ACTION, ScienceWorldEnvironment, Variation
from environments.scienceworld.package import jar
from environments.scienceworld.simulator import Episode, Simulator
from environments.scienceworld.world import ScienceWorld
from tests.support.scienceworld_here import needs_simulator, played, solution

pytestmark = needs_simulator
FRUIT = [Variation("grow-fruit", 0), Variation("grow-fruit", 62)]
"""With bees, which fly at random."""
MIXED = [*FRUIT, Variation("power-component", 0), Variation("use-thermometer", 0), Variation("boil", 0)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScienceWorld]:
    world = ScienceWorld({"data": str(tmp_path_factory.mktemp("scienceworld"))})
    yield world
    world.close()


@pytest.fixture(scope="module")
def solutions(world: ScienceWorld) -> dict[Variation, list[str]]:
    return {variation: solution(world, variation) for variation in MIXED}


@pytest.fixture(scope="module")
def alone(solutions: dict[Variation, list[str]]) -> dict[Variation, list[object]]:
    """What is answered to each solution in a JVM of its own."""
    answers = {}
    for variation, actions in solutions.items():
        simulator = Simulator(jar())
        answers[variation] = played(
            ScienceWorldEnvironment(lambda found=simulator: found), variation, actions
        )
        simulator.close()
    return answers


def test_the_solutions_win(alone: dict[Variation, list[object]]) -> None:
    for variation, answers in alone.items():
        last = answers[-1]
        assert isinstance(last, StepResult)
        assert last.reward == 1.0, variation
        assert last.done


def test_interleaved_episodes_are_as_alone(
    world: ScienceWorld, solutions: dict[Variation, list[str]], alone: dict[Variation, list[object]]
) -> None:
    environments = {variation: world.environment() for variation in MIXED}
    answers: dict[Variation, list[object]] = {v: [e.start(v)] for v, e in environments.items()}
    for at in range(max(map(len, solutions.values()))):
        for variation, environment in environments.items():
            if at < len(solutions[variation]):
                answers[variation].append(environment.step(solutions[variation][at]))
    assert answers == alone


def test_episodes_that_share_random_numbers_are_not(
    world: ScienceWorld, solutions: dict[Variation, list[str]], alone: dict[Variation, list[object]]
) -> None:
    """Why the simulator's singletons are exchanged."""
    episodes = {variation: Episode(world._running()) for variation in FRUIT}
    shared = episodes[FRUIT[0]]
    episodes[FRUIT[1]]._singletons = shared._singletons
    answers: dict[Variation, list[str]] = {}
    for variation, episode in episodes.items():
        episode.load(variation.task_type, variation.number, "easy")
        answers[variation] = []
    for actions in zip(*(solutions[variation] for variation in FRUIT), strict=False):
        for (variation, episode), action in zip(episodes.items(), actions, strict=True):
            answers[variation].append(episode.step(action).observation)
    expected = {
        v: [r.observation for r in found[1:] if isinstance(r, StepResult)] for v, found in alone.items()
    }
    assert any(answers[v] != expected[v][: len(answers[v])] for v in FRUIT)


def test_threads_do_not_disturb_each_other(
    world: ScienceWorld, solutions: dict[Variation, list[str]], alone: dict[Variation, list[object]]
) -> None:
    with ThreadPoolExecutor(len(MIXED)) as pool:
        plays = [pool.submit(played, world.environment(), v, solutions[v]) for v in MIXED]
    assert [play.result() for play in plays] == [alone[v] for v in MIXED]


def test_an_environment_starts_again_in_the_middle_of_an_episode(
    world: ScienceWorld, solutions: dict[Variation, list[str]], alone: dict[Variation, list[object]]
) -> None:
    environment = world.environment()
    played(environment, FRUIT[0], solutions[FRUIT[0]][:20])
    assert played(environment, FRUIT[1], solutions[FRUIT[1]]) == alone[FRUIT[1]]


def test_the_counts_of_variations_are_those_of_the_simulator(world: ScienceWorld) -> None:
    interface = world._running().interface()
    for name, sizes in TASK_TYPES.items():
        interface.load(name, 0, "easy", False)
        sets = [list(getattr(interface, f"getVariations{which}")()) for which in ("Train", "Dev", "Test")]
        assert [len(found) for found in sets] == list(sizes[:3]), name
        assert [number for found in sets for number in found] == list(range(sum(sizes[:3]))), name


def test_an_unknown_action_is_answered(world: ScienceWorld) -> None:
    environment = world.environment()
    environment.start(Variation("boil", 0))
    for action in ("dance", "", "go to\nthe moon", 'x"\\ é', "x" * 5000):
        assert environment.step(action) == StepResult(UNKNOWN_ACTION, 0.0, False, False)
    assert environment.step("go to kitchen").valid


def test_the_reward_is_the_highest_score_so_far(world: ScienceWorld) -> None:
    environment = world.environment()
    variation = Variation("find-animal", 0)
    answers = played(environment, variation, solution(world, variation)[:-1])
    before = answers[-1]
    assert isinstance(before, StepResult)
    assert 0 < before.reward < 1
    assert environment.step("reset task").reward == before.reward
    assert not environment.step("look around").done


def test_a_focus_on_the_wrong_thing_ends_the_episode(world: ScienceWorld) -> None:
    environment = world.environment()
    environment.start(Variation("find-animal", 0))
    reached = environment.step("go to kitchen").reward
    result = environment.step("focus on thermometer")
    assert result.done
    assert result.reward == reached < 1


def test_after_a_killed_jvm_the_next_environment_has_another(world: ScienceWorld) -> None:
    environment, other = world.environment(), world.environment()
    first = environment.start(FRUIT[0])
    other.start(FRUIT[1])
    world._running().process.kill()
    for broken in (environment, other):
        with pytest.raises(ConnectionError, match="the JVM has ended"):
            broken.step("look around")
    assert world.environment().start(FRUIT[0]) == first
    assert environment.start(FRUIT[0]) == first


def test_a_jvm_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "environments.scienceworld.simulator.ANSWER_SECONDS", 10.0
    )  # loading takes seconds on a busy machine
    simulator = Simulator(jar())
    environment = ScienceWorldEnvironment(lambda: simulator)
    environment.start(Variation("boil", 0))
    os.kill(simulator.process.pid, signal.SIGSTOP)
    with pytest.raises(ConnectionError):
        environment.step("look around")
    assert not simulator.alive


def test_close_ends_the_jvm(tmp_path: Path) -> None:
    world = ScienceWorld({"data": str(tmp_path)})
    world.environment().start(Variation("boil", 0))
    process = world._running().process
    world.close()
    world.close()
    assert process.poll() is not None


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_jvm_ends_with_its_python_process(ending: signal.Signals) -> None:
    script = (
        "import sys, time\n"
        "from environments.scienceworld.package import jar\n"
        "from environments.scienceworld.simulator import Simulator\n"
        "print(Simulator(jar()).process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    python = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert python.stdout
    jvm = psutil.Process(int(python.stdout.readline()))
    assert jvm.name() == "java"
    python.send_signal(ending)
    python.wait()
    jvm.wait(timeout=20)


def test_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EnvironmentFault, match=r"there is no java .*: apt-get install default-jre-headless"):
        Simulator(jar())
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(
        EnvironmentFault, match=r"no /nowhere/bin/java .*: JAVA_HOME is /nowhere: correct or unset it"
    ):
        Simulator(jar())


def test_a_java_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:NoSuchOption=1")
    with pytest.raises(
        EnvironmentFault, match=r"Unrecognized VM option 'NoSuchOption=1'.*: check JAVA_HOME"
    ) as fault:
        Simulator(jar())
    assert "\n" not in str(fault.value)


def test_a_java_without_repeatable_episodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("environments.scienceworld.simulator.JVM_OPTIONS", ("-Xmx600m",))
    with pytest.raises(EnvironmentFault, match="ignores -XX:hashCode=2"):
        Simulator(jar())


def test_many_resets_do_not_fill_the_memory(world: ScienceWorld) -> None:
    """At ten megabytes an episode that is kept, 60 would fill the JVM's 600."""
    environments = [world.environment() for _ in range(world.live_environments)]
    began = time.monotonic()
    for environment in environments:
        environment.start(Variation("boil", 0))
    for _ in range(30):
        environments[0].reset(Task("", payload=Variation("boil", 0).payload), 0)
    assert environments[-1].step("go to kitchen").observation == "You move to the kitchen."
    assert time.monotonic() - began < 120
    for environment in environments:
        environment.close()
