"""What the agent is told, and the thoughts made of it."""

from __future__ import annotations

from environments.general import ungrounded
from environments.virtualhome.commands import Command, Thing, parse_command
from environments.virtualhome.texts import Sight, View, first_observation, observation
from environments.virtualhome.thoughts import thought

CUP, SINK = Thing("cup", 12), Thing("sink", 3)
VIEW = View("kitchen 1", "", (Sight("cup 12", ("on table 4", "dirty")), Sight("table 4")), ("cup 12",), ())
PLAN = [Command("WALK", (CUP,)), Command("GRAB", (CUP,)), Command("PUTIN", (CUP, SINK))]


def test_an_observation_says_where_the_agent_is_what_is_close_and_what_is_held() -> None:
    assert observation(VIEW) == (
        "You are in kitchen 1. Close to you: cup 12 (on table 4, dirty), table 4. You face cup 12. You hold nothing."
    )


def test_an_observation_of_nothing_around_and_full_hands() -> None:
    view = View("bedroom 2", "sitting", (), (), ("cup 12", "key 9"))
    assert (
        observation(view) == "You are in bedroom 2, sitting. Close to you: nothing. You hold cup 12, key 9."
    )


def test_the_first_observation_has_the_rooms_the_actions_and_the_task() -> None:
    first = first_observation({"kitchen 1": ["cup 12"], "hall 2": ["key 9", "door 5"]}, VIEW, "Drink: a cup")
    assert "\nkitchen 1: cup 12.\nhall 2: key 9, door 5.\nYou are in kitchen 1." in first
    assert "put THING in THING" in first
    assert first.endswith("\nYour task is to: Drink: a cup")


def test_a_thought_says_why_to_go_to_a_thing() -> None:
    far = View("kitchen 1", "", (), (), ())
    assert thought(far, PLAN, "cup 12") == "I want to grab cup 12, so I walk to cup 12 first."
    assert thought(VIEW, PLAN, "cup 12") == "Cup 12 is close: I want to grab cup 12."
    assert thought(far, PLAN[:1], "cup 12") == "I need to be at cup 12 for my task."


def test_a_thought_tells_the_states_that_are_seen() -> None:
    assert (
        thought(VIEW, PLAN[1:], "") == "I am close to cup 12, and it is on table 4 and dirty: I grab cup 12."
    )


def test_a_thought_tells_what_is_held() -> None:
    holding = View("kitchen 1", "", (), (), ("cup 12",))
    assert thought(holding, PLAN[2:], "") == "I hold cup 12. Now I put cup 12 in sink 3."


def test_a_thought_names_no_later_thing_that_was_not_told() -> None:
    far, plan = View("kitchen 1", "", (), (), ()), [PLAN[0], PLAN[2]]
    hidden, told = (thought(far, plan, f"cup 12 {more}") for more in ("", "sink 3"))
    assert "sink 3" in told
    assert "sink 3" not in hidden
    transcript = "cup 12. cup 13. sink 4."
    assert ungrounded(transcript, "", [], "walk to cup 12", hidden) == []
    assert ungrounded(transcript, "", [], "walk to cup 12", told) == ["sink 3"]


def test_standing_up_is_explained_by_sitting() -> None:
    sitting = View("kitchen 1", "sitting", (), (), ())
    command = parse_command("stand up")
    assert command
    assert thought(sitting, [command], "") == "I am sitting, so I stand up."
