"""The exploring expert wins from any history, from visible information only, and its thoughts say what it sees."""

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments.alfworld.environment import NOTHING
from environments.alfworld.expert.explorer import expert_turn
from environments.alfworld.expert.instruction import TaskGoal, parse_instruction
from environments.alfworld.expert.memory import remember
from environments.alfworld.generation.world import GeneratedAlfworld
from environments.base import Environment, StepResult, Task
from steca.action_formats import REACT
from steca.types import Step

CAP = 20
ENTITY = re.compile(r"[a-z]+ \d+")
JUNK = ("Thought: hm\nAction: go to moon 1", "I just talk", "", "Thought: x\nAction: put it down")


def play(
    environment: Environment, task: Task, cap: int, junk: dict[int, str] | None = None
) -> tuple[str, list[Step], bool]:
    """The expert's run, with the turns in `junk` played instead of its own at those steps."""
    first, steps = environment.reset(task), []
    while len(steps) < cap:
        spoiled = (junk or {}).get(len(steps))
        turn = expert_turn(first, steps)
        if turn is None:
            return first, steps, False
        text = REACT.text(turn) if spoiled is None else spoiled
        parsed = REACT.parse(text)
        thought, action = parsed or ("", "")
        result = environment.step(action) if parsed else StepResult(NOTHING, valid=False)
        origin = "expert" if spoiled is None else "deviation"
        steps.append(Step(text, thought, action, result.observation, result.valid, origin))
        if result.done:
            return first, steps, True
    return first, steps, False


def spoiled_runs(count: int) -> Iterator[tuple[str, list[Step], bool]]:
    """Runs in which one to three random turns, most of them admissible, were played instead of the expert's."""
    rng = random.Random(5)
    environment = GeneratedAlfworld({}).environment()
    for task in GeneratedAlfworld({}).tasks("train", count, seed=9):
        environment.reset(task)
        junk = {}
        for at in rng.sample(range(8), rng.randint(1, 3)):
            _, steps, done = play(environment, task, at, junk)
            if not done and len(steps) == at:
                actions = environment.admissible_actions()
                junk[at] = (
                    rng.choice(JUNK) if rng.random() < 0.2 else f"Thought: x\nAction: {rng.choice(actions)}"
                )
        yield play(environment, task, CAP, junk)


@pytest.fixture(scope="module")
def runs() -> list[tuple[Task, str, list[Step], bool]]:
    world = GeneratedAlfworld({})
    environment = world.environment()
    tasks = world.tasks("train", 200, seed=2) + world.tasks("unseen", 200, seed=2)
    return [(task, *play(environment, task, CAP)) for task in tasks]


@pytest.fixture(scope="module")
def spoiled() -> list[tuple[str, list[Step], bool]]:
    return list(spoiled_runs(150))


def test_the_expert_wins_within_the_cap(runs) -> None:
    assert sum(won for *_, won in runs) >= 0.995 * len(runs)
    assert sum(len(steps) for _, _, steps, _ in runs) / len(runs) < 9


def test_no_action_of_the_expert_fails(runs) -> None:
    assert all(step.valid for _, _, steps, _ in runs for step in steps)


def test_the_expert_wins_from_spoiled_histories(spoiled) -> None:
    assert sum(step.origin == "deviation" for _, steps, _ in spoiled for step in steps) > 150
    assert sum(won for *_, won in spoiled) >= 0.95 * len(spoiled)


def test_thoughts_name_only_what_was_visible(runs, spoiled) -> None:
    for first, steps, _ in [run[1:] for run in runs] + spoiled:
        visible = set(ENTITY.findall(first))
        for step in steps:
            if step.origin == "expert":
                assert set(ENTITY.findall(f"{step.thought} {step.action}")) <= visible, step
            visible |= set(ENTITY.findall(step.observation))


def test_thoughts_are_short(runs) -> None:
    lengths = sorted(len(step.thought.split()) for _, _, steps, _ in runs for step in steps)
    assert lengths[len(lengths) // 2] <= 12
    assert lengths[-1] <= 35


def test_a_win_needs_the_whole_run(runs) -> None:
    """Negative control: without one of its effective actions, the same run does not win."""
    world = GeneratedAlfworld({})
    environment = world.environment()
    for task, _, steps, won in runs[:40]:
        actions = [step.action for step in steps]
        dropped = next(at for at, step in enumerate(steps) if step.action.startswith("take "))
        environment.reset(task)
        results = [environment.step(action) for action in [*actions[:dropped], *actions[dropped + 1 :]]]
        assert won
        assert not results[-1].done


FIRST = (
    "You are in the middle of a room. Looking quickly around you, you see a cabinet 1, a countertop 1, a fridge 1,"
    " a microwave 1, a shelf 2, a shelf 1, and a sinkbasin 1.\n\nYour task is to: put a hot mug in shelf."
)


def history(*pairs: tuple[str, str]) -> list[Step]:
    return [Step("", "", action, seen, seen != "Nothing happens.", "policy") for action, seen in pairs]


def act(*pairs: tuple[str, str]) -> tuple[str, str]:
    turn = expert_turn(FIRST, history(*pairs))
    assert turn is not None
    return turn.thought, turn.action


def test_search_goes_over_open_places_first_and_announces_the_order() -> None:
    thought, action = act()
    assert action == "go to countertop 1"
    assert thought == (
        "I need a mug: search countertop 1, next shelf 2, next shelf 1, next sinkbasin 1, next fridge 1,"
        " next microwave 1, next cabinet 1."
    )


TO_COUNTER = ("go to countertop 1", "On the countertop 1, you see a plate 1.")
MUG_SEEN = ("go to shelf 2", "On the shelf 2, you see a mug 1, and a plate 2.")
MUG_TAKEN = ("take mug 1 from shelf 2", "You pick up the mug 1 from the shelf 2.")
AT_MICROWAVE = ("go to microwave 1", "The microwave 1 is closed.")
HEATED = ("heat mug 1 with microwave 1", "You heat the mug 1 using the microwave 1.")
COOLED = ("cool mug 1 with fridge 1", "You cool the mug 1 using the fridge 1.")


@pytest.mark.parametrize(
    ("pairs", "thought", "action"),
    [
        ([TO_COUNTER], "I need a mug: none on countertop 1, next shelf 2.", "go to shelf 2"),
        ([MUG_SEEN], "I need a mug: mug 1 is here. I take it.", "take mug 1 from shelf 2"),
        ([MUG_SEEN, MUG_TAKEN], "I have mug 1. It must be hot. I go to microwave 1.", "go to microwave 1"),
        (
            [MUG_SEEN, MUG_TAKEN, AT_MICROWAVE],
            "I have mug 1 at microwave 1. I make it hot.",
            "heat mug 1 with microwave 1",
        ),
        (
            [MUG_SEEN, MUG_TAKEN, AT_MICROWAVE, HEATED],
            "I have hot mug 1. I bring it to shelf 2.",
            "go to shelf 2",
        ),
        (
            [MUG_SEEN, ("go to fridge 1", "The fridge 1 is closed.")],
            "I need a mug: I saw mug 1 on shelf 2. I go there.",
            "go to shelf 2",
        ),
        ([AT_MICROWAVE], "The microwave 1 is closed. I open it.", "open microwave 1"),
        (
            [
                TO_COUNTER,
                ("take plate 1 from countertop 1", "You pick up the plate 1 from the countertop 1."),
            ],
            "I have plate 1, but I need a mug. I put it on countertop 1.",
            "put plate 1 in/on countertop 1",
        ),
        (
            [TO_COUNTER, ("take mug 4 from countertop 1", "Nothing happens.")],
            "That did nothing. I need a mug: none on countertop 1, next shelf 2.",
            "go to shelf 2",
        ),
        (
            [MUG_SEEN, MUG_TAKEN, AT_MICROWAVE, HEATED, COOLED],
            "I have mug 1. It must be hot. I go to microwave 1.",
            "go to microwave 1",
        ),
        (
            [MUG_SEEN, MUG_TAKEN, ("put mug 1 in/on shelf 2", "You put the mug 1 in/on the shelf 2.")],
            "I need a mug: mug 1 is here. I take it.",
            "take mug 1 from shelf 2",
        ),
    ],
)
def test_what_it_says_and_does_next(pairs, thought, action) -> None:
    assert act(*pairs) == (thought, action)


def test_a_place_within_reach_is_examined_where_going_is_refused() -> None:
    assert act(TO_COUNTER, ("go to shelf 2", "Nothing happens."))[1] == "examine shelf 2"


def test_what_failed_once_is_not_tried_again_in_the_same_place() -> None:
    assert act(MUG_SEEN, ("take mug 1 from shelf 2", "Nothing happens."))[1] != "take mug 1 from shelf 2"


def test_it_gives_up_where_everything_was_searched_in_vain() -> None:
    first = "You see a shelf 1.\n\nYour task is to: put a mug in shelf."
    assert expert_turn(first, history(("go to shelf 1", "On the shelf 1, you see nothing."))) is None
    assert expert_turn("You see a shelf 1.\n\nYour task is to: dance.", []) is None


@pytest.mark.parametrize(
    ("instruction", "goal"),
    [
        ("put some alarmclock on desk.", TaskGoal("put", "alarmclock", "desk")),
        ("look at bowl under the desklamp.", TaskGoal("light", "bowl", "desklamp")),
        ("examine the pen with the floorlamp.", TaskGoal("light", "pen", "floorlamp")),
        ("clean some apple and put it in diningtable.", TaskGoal("clean", "apple", "diningtable")),
        ("put a hot egg in fridge.", TaskGoal("heat", "egg", "fridge")),
        ("cool some pan and put it in countertop.", TaskGoal("cool", "pan", "countertop")),
        ("find two pen and put them in drawer.", TaskGoal("two", "pen", "drawer")),
        ("put a clean sliced tomato in fridge.", TaskGoal("clean", "tomato", "fridge", sliced=True)),
        ("sing a song.", None),
    ],
)
def test_instructions_are_read(instruction: str, goal: TaskGoal | None) -> None:
    assert parse_instruction(f"You see a desk 1.\n\nYour task is to: {instruction}") == goal


def test_memory_follows_things() -> None:
    memory = remember(FIRST, [MUG_SEEN, MUG_TAKEN, AT_MICROWAVE, HEATED])
    assert (memory.held, memory.here) == ("mug 1", "microwave 1")
    assert memory.contents == {"shelf 2": ["plate 2"]}
    assert memory.is_("mug 1", "hot")
    assert not memory.is_("mug 1", "clean")
    assert memory.closed == {"microwave 1"}


@pytest.mark.skipif("ALFWORLD_DATA" not in os.environ, reason="needs the real games: set ALFWORLD_DATA")
def test_the_expert_wins_real_games() -> None:
    from environments.alfworld.official.world import RealAlfworld

    world = RealAlfworld({"data": str(Path(os.environ["ALFWORLD_DATA"]))})
    environment = world.environment()
    outcomes = [play(environment, task, 40)[2] for task in world.tasks("seen", 60, seed=0)]
    assert sum(outcomes) >= 0.95 * len(outcomes)
