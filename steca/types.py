"""Trajectories: turns, executed steps, and the outcome. Shared by every layer above.

An agent *turn* is a thought and one action; a *step* is a turn together with the environment's observation.
A history e_t of the paper is (first observation, steps[:t]); a *prefix* of length j is steps[:j].
"""

from __future__ import annotations

from dataclasses import dataclass

from steca.vocabulary import End, Origin


@dataclass(frozen=True, slots=True)
class Turn:
    """One agent turn. How it is written is steca/action_formats.py."""

    thought: str
    action: str


@dataclass(frozen=True, slots=True)
class Step:
    """One executed turn.

    `text` is what the agent wrote (it may be unparsable); `thought` and `action` are parsed from it ("" if that
    failed). `valid` is False if the environment answered that nothing happened.
    """

    text: str
    thought: str
    action: str
    observation: str
    valid: bool
    origin: Origin
    tokens: int = 0  # tokens the policy generated for this turn, thinking included; 0 for experts
    thinking: str = ""  # the model's thinking before the turn; never part of a history
    thinking_tokens: int = 0  # of `tokens`


@dataclass(frozen=True, slots=True)
class Trajectory:
    """An executed run of one task, from the first observation on.

    `outcome` is the environment's reward at the end, in [0, 1]; `success` is outcome >= 1. `end` says why it
    stopped. `prefix` counts the leading steps that were replayed, not played by the policy or expert itself.
    """

    task_id: str
    first_observation: str
    steps: tuple[Step, ...]
    outcome: float
    end: End
    prefix: int = 0

    @property
    def success(self) -> bool:
        return self.outcome >= 1.0

    @property
    def actions(self) -> tuple[str, ...]:
        return tuple(step.action for step in self.steps)
