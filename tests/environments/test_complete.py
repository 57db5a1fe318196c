"""What a world does not provide has a default, and what it lists is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments.base import EnvironmentFault, Task
from environments.capabilities import Expert, Planner, Snapshots
from environments.missing import missing, refuse_what_it_cannot
from environments.template.world import House, World
from environments.versions import source_files, version_of
from steca.types import Step
from tests.support.own_worlds import Bare, Counted, Snapping, completed
from tests.support.rollouts_toys import world as alfworld


def step(action: str, observation: str, valid: bool = True) -> Step:
    return Step("", "", action, observation, valid, "policy")


def test_reset_and_step_are_enough_to_play() -> None:
    world = completed(Bare())
    task = world.tasks("train", 1, 0)[0]
    first, state = world.begin(task)
    result, after = world.advance(state, "enter hall")
    assert (first.split()[0], result.valid) == ("You", True)
    assert (world.progress(after), world.admissible_actions(after)) == (0.0, [])
    assert (world.expert_turn(after, first, ()), world.plan_repair(after)) == (None, None)
    assert (world.vocabulary(), world.data_digest(), world.recording(task, first)) == ([], "", None)
    assert world.step_cap(task, 20) == 20
    assert world.same("a", "a")
    assert not world.same("a", "b")


def test_a_turn_without_an_action_costs_a_step_and_changes_nothing() -> None:
    world = completed(Bare())
    _, state = world.begin(world.tasks("train", 1, 0)[0])
    result, after = world.advance(state, None)
    assert after is state
    assert (result.valid, result.done, result.reward) == (False, False, 0.0)
    assert result.observation == (
        'This turn has no action. Write "Thought: ...", then "Action: ..." on a line of its own.'
    )


def test_the_general_reflection_says_what_was_answered_and_is_grounded() -> None:
    world = completed(Bare())
    steps = [step("enter hall", "You are in the hall."), step("dance", "Nothing happens.", valid=False)]
    thought = world.reflect("bring it", "You are in the attic.", steps, "enter cellar")
    assert (
        thought
        == "I did 'dance' and was told: Nothing happens. That had no effect, so now I do 'enter cellar'."
    )
    assert world.ungrounded("You are in the attic.", "bring it", steps, "enter cellar", thought) == []


@pytest.mark.parametrize(
    ("thought", "strange"),
    [
        ("Room 3 is next.", []),
        ("Room 9 is next.", ["room 9"]),
        ("I need key_2 and door_7.", ["door_7"]),
        ("It said 'the hall is dark'.", ["the hall is dark"]),
        ("After 4 steps I take the vase.", []),
        ("Room 31 is next.", ["room 31"]),
    ],
)
def test_names_that_never_occurred_are_found(thought: str, strange: list[str]) -> None:
    steps = [step("go to room 3", "There is key_2.")]
    assert (
        completed(Bare()).ungrounded("You see room 1 and room 3.", "", steps, "go to room 1", thought)
        == strange
    )


class Listing(World):
    """It lists what it is made with."""

    def __init__(self, tasks: list[Task]) -> None:
        self.listed = tasks

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        return self.listed


@pytest.mark.parametrize(
    ("tasks", "problem"),
    [
        ([Task("a")], "2 train tasks were requested and 1 listed: request fewer"),
        ([Task("a"), Task("a")], "two train tasks have the id 'a'"),
        ([Task("a"), Task("b", split="seen")], "task b of split 'seen' is listed for 'train'"),
    ],
)
def test_a_wrong_listing_is_refused(tasks: list[Task], problem: str) -> None:
    with pytest.raises(EnvironmentFault, match=problem):
        completed(Listing(tasks)).tasks("train", 2, 0)


def test_an_unknown_split_is_refused_with_those_there_are() -> None:
    with pytest.raises(EnvironmentFault, match="has no split 'hard'; it has train, validation, seen, unseen"):
        completed(World()).tasks("hard", 2, 0)


def test_a_world_without_a_version_has_that_of_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "unversioned.py").write_text("class World: ...\n")
    import unversioned  # type: ignore[import-not-found]

    first = version_of(unversioned.World())
    (tmp_path / "unversioned.py").write_text("class World: 'changed'\n")
    assert first.startswith("source-")
    assert version_of(unversioned.World()) != first
    assert version_of(World()) == "1"
    unversioned.World.version = 2
    assert version_of(unversioned.World()) == "2"


def test_the_version_covers_the_files_that_a_world_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    files = {
        "of_parts": "import json, numpy\nfrom part_of_it import House\nclass World(House): ...\n",
        "part_of_it": "import rules_of_it\nclass House: ...\n",
        "rules_of_it": "LEAST = 1\n",
        "not_of_it": "",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    import of_parts  # type: ignore[import-not-found]

    own = of_parts.World()
    assert [file.stem for file in source_files(own)] == ["of_parts", "part_of_it", "rules_of_it"]
    first = version_of(own)
    (tmp_path / "not_of_it.py").write_text("changed = 1\n")
    assert version_of(own) == first
    (tmp_path / "rules_of_it.py").write_text("LEAST = 2\n")
    assert version_of(own) != first


@pytest.mark.parametrize(
    ("method", "answer", "problem"),
    [
        (
            "expert_turn",
            "go north",
            r"expert_turn must return a Turn \(two texts: thought, action\) or None",
        ),
        ("plan_repair", ["go north"], "plan_repair must return a list of Turn or None"),
        ("admissible_actions", "look", "admissible_actions must return a list of texts, and returned 'look'"),
        ("progress", 7, r"progress must return a number in \[0, 1\], and returned 7"),
    ],
)
def test_what_a_capability_may_not_answer_is_told(method: str, answer: object, problem: str) -> None:
    class Answering(House):
        def __getattr__(self, name: str) -> object:
            if name == method:
                return lambda *_: answer
            raise AttributeError(name)

    class Odd(World):
        def environment(self) -> House:
            return Answering()

    Answering.expert_turn = Answering().__getattr__(method) if method == "expert_turn" else House.expert_turn  # type: ignore[method-assign, assignment]
    world = completed(Odd())
    task = world.tasks("train", 1, 0)[0]
    first, state = world.begin(task)
    asked = {"expert_turn": (state, first, ())}.get(method, (state,))
    with pytest.raises(EnvironmentFault, match=f"task .*: {problem}"):
        getattr(world, method)(*asked)


def test_an_environment_without_step_is_told() -> None:
    class Stepless(World):
        def environment(self) -> object:  # type: ignore[override]
            return object()

    world = completed(Stepless())
    with pytest.raises(
        EnvironmentFault, match=r"a object has no method reset: it needs reset\(task, seed\) and step"
    ):
        world.begin(world.tasks("train", 1, 0)[0])


def test_what_a_world_lacks_is_told_with_what_it_costs() -> None:
    assert [line.partition(" has no ")[2].partition(":")[0] for line in missing(completed(Bare()))] == [
        "snapshots",
        "planner",
        "reflections of its own",
        "expert",
    ]
    assert missing(alfworld()) == []
    assert alfworld().can(Snapshots)
    assert alfworld().can(Expert)
    assert alfworld().can(Planner)


def test_a_world_without_demonstrations_is_refused_before_anything_starts() -> None:
    refuse_what_it_cannot(completed(Snapping()), "plain", constrained=False)
    with pytest.raises(
        EnvironmentFault, match="world own has no demonstrations: give its environments expert_turn"
    ):
        refuse_what_it_cannot(completed(Bare()), "plain", constrained=False)
    with pytest.raises(EnvironmentFault, match="have no admissible_actions"):
        refuse_what_it_cannot(completed(Snapping()), "plain", constrained=True)
    with pytest.raises(EnvironmentFault, match="has no worked example"):
        refuse_what_it_cannot(completed(Snapping()), "one_shot", constrained=False)


def test_a_chat_model_is_told_the_configured_text_and_the_form() -> None:
    task = World().tasks("train", 1, 0)[0]
    said = completed(World(), briefing="Rooms are entered by 'enter ROOM'.").briefing(task, example=False)
    assert said.startswith("Rooms are entered by 'enter ROOM'.\n\nWrite every turn in this form")
    calls = completed(World(), action_format="tool_call").briefing(task, example=False)
    assert "<tool_call>" in calls
    assert '"name": "act"' in calls


def test_everything_that_was_made_is_closed_and_can_be_made_again() -> None:
    """Also the environment that was made only to see what it can do."""
    for plays in (False, True):
        own = Counted()
        world = completed(own)
        assert world.can(Expert)
        task = world.tasks("train", 1, 0)[0]
        if plays:
            states = [world.begin(task)[1] for _ in range(3)]
            assert [world.advance(state, "enter hall")[0].valid for state in states]
        world.close()
        assert own.made
        assert all(made.closed for made in own.made)
        assert world.begin(task)[0].startswith("You are in the ")
