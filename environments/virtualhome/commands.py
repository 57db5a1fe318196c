"""Commands in text ("put cup 12 on table 3") and as lines of programs ("[PUTBACK] <cup> (12) <table> (3)")."""

from __future__ import annotations

import re
from dataclasses import dataclass

FORMS = {
    "WALK": "walk to THING",
    "RUN": "run to THING",
    "FIND": "find THING",
    "TURNTO": "turn to THING",
    "LOOKAT": "look at THING",
    "POINTAT": "point at THING",
    "WATCH": "watch THING",
    "READ": "read THING",
    "TOUCH": "touch THING",
    "GRAB": "grab THING",
    "DROP": "drop THING",
    "RELEASE": "release THING",
    "PUTBACK": "put THING on THING",
    "PUTIN": "put THING in THING",
    "PUTOBJBACK": "put back THING",
    "POUR": "pour THING into THING",
    "OPEN": "open THING",
    "CLOSE": "close THING",
    "SWITCHON": "switch on THING",
    "SWITCHOFF": "switch off THING",
    "PLUGIN": "plug in THING",
    "PLUGOUT": "unplug THING",
    "TYPE": "type on THING",
    "PUSH": "push THING",
    "PULL": "pull THING",
    "MOVE": "move THING",
    "WIPE": "wipe THING",
    "WASH": "wash THING",
    "RINSE": "rinse THING",
    "SCRUB": "scrub THING",
    "SQUEEZE": "squeeze THING",
    "CUT": "cut THING",
    "EAT": "eat THING",
    "DRINK": "drink THING",
    "PUTON": "wear THING",
    "PUTOFF": "take off THING",
    "GREET": "greet THING",
    "SIT": "sit on THING",
    "LIE": "lie on THING",
    "STANDUP": "stand up",
    "SLEEP": "sleep",
    "WAKEUP": "wake up",
}
"""The simulator's action -> its form in text. No form can be read as another one's."""

_THING = r"([a-z][a-z_ -]*) (\d+)"
_PATTERNS = {action: re.compile(form.replace("THING", _THING), re.ASCII) for action, form in FORMS.items()}
_LINE = re.compile(r"\[(\w+)\]((?: *<[^<>]+> *\([\d.]+\))*)", re.ASCII)
_OBJECT = re.compile(r"<([^<>]+)> *\((?:\d+\.)?(\d+)\)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing of the home: its class ("food_food") and its number in the graph."""

    kind: str
    number: int

    @property
    def name(self) -> str:
        """ "food food 1000"."""
        return f"{self.kind.replace('_', ' ')} {self.number}"


@dataclass(frozen=True, slots=True)
class Command:
    """`action`: a key of FORMS. `things`: as many as its form has."""

    action: str
    things: tuple[Thing, ...] = ()

    @property
    def text(self) -> str:
        text = FORMS[self.action]
        for thing in self.things:
            text = text.replace("THING", thing.name, 1)
        return text

    @property
    def line(self) -> str:
        """The line that the simulator reads."""
        return " ".join([f"[{self.action}]", *(f"<{thing.kind}> ({thing.number})" for thing in self.things)])


def parse_command(text: str) -> Command | None:
    """The command that a text says, in any case and spacing; None if it has no form of FORMS."""
    text = " ".join(text.lower().split()).rstrip(".")
    for action, pattern in _PATTERNS.items():
        if match := pattern.fullmatch(text):
            found = match.groups()
            things = zip(found[::2], found[1::2], strict=True)
            return Command(action, tuple(Thing(kind.replace(" ", "_"), int(n)) for kind, n in things))
    return None


def parse_line(line: str) -> Command:
    """A line of a program. Numbers are written (319), or (1.319) with the number of the object in the program first.
    Raises ValueError with the reason."""
    match = _LINE.fullmatch(line.strip())
    if not match:
        raise ValueError(f"{line!r} has not the form [ACTION] <thing> (number)")
    action = match[1].upper()
    if action not in FORMS:
        raise ValueError(f"{line!r} has the unknown action {match[1]!r}")
    found = _OBJECT.findall(match[2])
    if len(found) != match[2].count("<"):
        raise ValueError(f"{line!r} has a number that is not written (319) or (1.319)")
    if len(found) != (wanted := FORMS[action].count("THING")):
        raise ValueError(f"{line!r} names {len(found)} things, and {action} takes {wanted}")
    things = (Thing(kind.strip().lower().replace(" ", "_"), int(number)) for kind, number in found)
    return Command(action, tuple(things))
