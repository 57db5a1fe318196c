"""Reads one agent turn in the ReAct form `Thought: ...` newline `Action: ...`."""

from __future__ import annotations

import re

_FORM = re.compile(
    r"^[ \t]*(?:Thought:(?P<thought>.*?)^[ \t]*)?Action:[ \t]*(?P<action>\S[^\n]*)$", re.DOTALL | re.MULTILINE
)


def parse_turn(text: str) -> tuple[str, str] | None:
    """(thought, action) of the first action in the text; None where there is no line `Action: ` with something on it.

    The first one counts: what an agent writes after it (an observation that it imagines, a second turn) was
    written without having seen the world's answer. The thought may be missing or run over several lines; blanks
    around both are dropped. The action is one line, in the agent's own spelling: the engine tells upper case from
    lower case.
    """
    found = _FORM.search(text.replace("\r\n", "\n"))
    if not found:
        return None
    return " ".join((found["thought"] or "").split()), found["action"].strip()
