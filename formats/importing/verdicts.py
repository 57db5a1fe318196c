"""Why a run is set aside: its kind, as the table counts it, and the reason of this one."""

from __future__ import annotations

KINDS = {
    "not read": "not readable",
    "not expert": "no run of the expert",
    "no run": "no run in a known shape",
    "not trained": "turns that are left out of the loss",
    "no task": "of no task of this configuration",
    "held out": "of a held-out task",
    "task has one": "the task has a run already",
    "answered otherwise": "the world answers otherwise",
    "no goal": "does not reach the goal",
    "not played": "could not be played",
}
"""By kind, how the table calls it, in the order in which runs meet the checks."""


class SetAside(Exception):
    """A run that is not used. `kind`: a key of KINDS. The message says why."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
