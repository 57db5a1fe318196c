"""What the agent is told: the rooms and their things once, then what is close, what is held, and where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from environments.virtualhome.commands import FORMS

TASK_MARK = "Your task is to: "
_FORMS = ", ".join(FORMS.values())


@dataclass(frozen=True, slots=True)
class Sight:
    """A thing that the agent is close to. `marks`: where it is and its states: ("on table 3", "dirty")."""

    name: str
    marks: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return f"{self.name} ({', '.join(self.marks)})" if self.marks else self.name


@dataclass(frozen=True, slots=True)
class View:
    """What the agent perceives. `posture`: "sitting", "lying" or ""."""

    room: str
    posture: str
    close: tuple[Sight, ...]
    faced: tuple[str, ...]
    held: tuple[str, ...]

    def sight(self, name: str) -> Sight | None:
        return next((sight for sight in self.close if sight.name == name), None)


def observation(view: View) -> str:
    """The answer to a command that was carried out."""
    parts = [f"You are in {view.room}{f', {view.posture}' if view.posture else ''}."]
    parts.append(f"Close to you: {', '.join(sight.text for sight in view.close) or 'nothing'}.")
    if view.faced:
        parts.append(f"You face {', '.join(view.faced)}.")
    parts.append(f"You hold {', '.join(view.held) or 'nothing'}.")
    return " ".join(parts)


def first_observation(rooms: Mapping[str, Sequence[str]], view: View, instruction: str) -> str:
    """`rooms`: the things in each room that can be seen without opening anything."""
    lines = [f"{room}: {', '.join(things)}." for room, things in rooms.items()]
    return "\n".join(
        [
            "The rooms of the home, and what is in them:",
            *lines,
            observation(view),
            f"The actions: {_FORMS}. A THING is a name with its number.",
            f"{TASK_MARK}{instruction}",
        ]
    )
