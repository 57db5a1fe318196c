"""Thoughts for the actions of the simulator's solutions, in short sentences.

A thought says what the last answer showed, if that matters, and what the action is for. It uses only the first
observation (which holds the task), the steps before it and its own action: no name in it comes from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from steca.types import Turn

DOOR_IS_OPEN = "The door is already open."
_IN_VAIN = re.compile(r"No known action|It's not clear|You can't|.* (can't be|is not) ")
_TEMPERATURE = re.compile(r"measures a temperature of (-?\d+) degrees")
_SUBSTANCE = re.compile(r"a substance called ([^\n(]+)")
_LAMP = re.compile(r"\ba ((?:\w+ )?(?:light bulb|buzzer|motor)), which is (on|off)")
_CHOICE = re.compile(r"^(\d+):\t(.+)$", re.MULTILINE)

_PURPOSES = [
    (re.compile(pattern), purpose)
    for pattern, purpose in (
        (r"(?:go|teleport) to (?P<a>.+)", "I go to the {a}."),
        (r"look around", "I look at what is here."),
        (r"(?:look at|examine) (?P<a>.+)", "I look at the {a} closely."),
        (r"look in (?P<a>.+)", "I look at what is in the {a}."),
        (r"open (?P<a>.+)", "I open the {a}."),
        (r"close (?P<a>.+)", "I close the {a}."),
        (r"pick up (?P<a>.+)", "I need the {a}. I take it with me."),
        (r"focus on (?P<a>.+)", "The task asks me to focus: I focus on the {a}."),
        (r"(?:put down|drop) (?P<a>.+)", "I put the {a} down here."),
        (r"move (?P<a>.+) to (?P<b>.+)", "Now the {a} has to go to the {b}."),
        (r"pour (?P<a>.+) into (?P<b>.+)", "I pour what is in the {a} into the {b}."),
        (r"dunk (?P<a>.+) into (?P<b>.+)", "I dunk the {a} into the {b}."),
        (r"use thermometer(?: in inventory)? on (?P<a>.+)", "I measure the temperature of the {a}."),
        (r"use (?P<a>.+) on (?P<b>.+)", "I use the {a} on the {b}."),
        (r"activate (?P<a>.+)", "I switch the {a} on."),
        (r"deactivate (?P<a>.+)", "I switch the {a} off."),
        (r"connect (?P<a>.+) to (?P<b>.+)", "The circuit needs a connection of the {a} and the {b}."),
        (r"mix (?P<a>.+)", "Everything is in the {a}. I mix it."),
        (r"read (?P<a>.+)", "I read the {a}."),
        (r"wait1?", "It takes time. I wait."),
    )
]
_BOX = re.compile(r"move (.+) to (\w+ box)")


def compose_thoughts(first_observation: str, pairs: Sequence[tuple[str, str]]) -> list[Turn]:
    """A run of (action, observation) pairs as turns."""
    seen = [first_observation]
    turns = []
    for action, observation in pairs:
        turns.append(Turn(_thought(seen, action), action))
        seen.append(observation)
    return turns


def _thought(seen: Sequence[str], action: str) -> str:
    last = seen[-1] if len(seen) > 1 else ""
    return " ".join(filter(None, (_news(last), _reason(seen, action), _purpose(seen, last, action))))


def _news(last: str) -> str:
    """What the last answer showed."""
    if found := _TEMPERATURE.search(last):
        return f"The temperature is {found[1]} degrees celsius."
    if found := _SUBSTANCE.fullmatch(last.strip()):
        return f"It is {found[1].strip()}."
    return "That did not work." if _IN_VAIN.match(last) else ""


def _reason(seen: Sequence[str], action: str) -> str:
    """Why a thing goes into this box, in a task about conductivity: what the circuit did."""
    if _BOX.fullmatch(action) and "conductive" in seen[0]:
        for observation in reversed(seen):
            if lamps := _LAMP.findall(observation):
                on = [lamp for lamp, state in lamps if state == "on"]
                return f"The {on[0]} is on." if on else "It stays off."
    return ""


def _purpose(seen: Sequence[str], last: str, action: str) -> str:
    if action.isdigit():
        meant = dict(_CHOICE.findall(last)).get(action)
        return f"I mean number {action}: {meant}." if meant else f"I mean number {action}."
    if action.startswith("go to ") and f"the {action.removeprefix('go to ')}" in seen[0].rpartition("\n")[2]:
        return f"The task names the {action.removeprefix('go to ')}. I go there."
    for pattern, purpose in _PURPOSES:
        if found := pattern.fullmatch(action):
            return purpose.format(**found.groupdict())
    return f"My next step is to {action}."
