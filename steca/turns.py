"""Reads one agent turn in the ReAct form `Thought: ...` newline `Action: ...`."""

from __future__ import annotations

import re

_THOUGHT = re.compile(r"^[ \t]*Thought:", re.MULTILINE)
_ACTION = re.compile(r"^[ \t]*Action:[ \t]*(?P<action>\S[^\n]*)$", re.MULTILINE)
"""Two patterns, each of which reads the text once: one for both would read all that follows for every `Thought:`."""


def parse_turn(text: str) -> tuple[str, str] | None:
    """(thought, action) of the first action in the text; None without a non-empty `Action: ` line.

    Only the first action counts: what an agent writes after it (an imagined observation, a second turn) was written
    without seeing the world's answer. The thought may be missing or span several lines; surrounding blanks are
    dropped. The action is one line, in the agent's own spelling, because the engine is case-sensitive.
    """
    text = text.replace("\r\n", "\n")
    found = _ACTION.search(text)
    if not found:
        return None
    thought = _THOUGHT.search(text, 0, found.start())
    said = text[thought.end() : found.start()] if thought else ""
    return " ".join(said.split()), found["action"].strip()
