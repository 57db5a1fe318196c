"""Reads one agent turn in the ReAct form `Thought: ...` newline `Action: ...`."""

from __future__ import annotations

import re

_FORM = re.compile(
    r"^[ \t]*(?:Thought:(?P<thought>.*?)^[ \t]*)?Action:[ \t]*(?P<action>\S[^\n]*)$", re.DOTALL | re.MULTILINE
)


def parse_turn(text: str) -> tuple[str, str] | None:
    """(thought, action) of the first action in the text; None without a non-empty `Action: ` line.

    Only the first action counts: what an agent writes after it (an imagined observation, a second turn) was written
    without seeing the world's answer. The thought may be missing or span several lines; surrounding blanks are
    dropped. The action is one line, in the agent's own spelling, because the engine is case-sensitive.
    """
    found = _FORM.search(text.replace("\r\n", "\n"))
    if not found:
        return None
    return " ".join((found["thought"] or "").split()), found["action"].strip()
