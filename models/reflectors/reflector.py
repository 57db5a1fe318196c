"""Who writes the reflective thought of a calibrated trajectory.

A reflector sees what the agent had seen: the task, the history up to and including the deviated turn and what
that turn really led to, and the action that is required next. The action itself is never its choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from steca.types import Step
from steca.vocabulary import Progress


@dataclass(frozen=True, slots=True)
class ReflectionRequest:
    """One deviation to reflect on; steps[-1] is the deviated turn with its observation."""

    instruction: str
    first_observation: str
    steps: Sequence[Step]
    required_action: str


@dataclass(frozen=True, slots=True)
class Reflection:
    """A thought that notices the mistake and leads to the required action; `source` is the reflector's label.
    `attempts`: replies that a language model was asked for, None where none was."""

    thought: str
    source: str
    attempts: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """No usable thought came of it: why the last of `attempts` replies could not be used."""

    reason: str
    attempts: int


class ReflectionFault(Exception):
    """A reflection that cannot be written. The message names the task's deviated action and what to do."""


class Reflector(Protocol):
    @property
    def label(self) -> str:
        """How reflections of this reflector are marked in the store, e.g. "template" or a model's name."""
        ...

    def reflect(
        self, requests: Sequence[ReflectionRequest], progress: Progress | None = None
    ) -> Sequence[Reflection | Refused]:
        """One outcome for each request, in their order. Raises ReflectionFault where none can be had."""
        ...


Compose = Callable[[ReflectionRequest], str]


class TemplateReflector:
    """Offline: the thought is composed by a function of the world from what was really observed. Marked
    `template`, so that it is never taken for a language model's."""

    label = "template"

    def __init__(self, compose: Compose) -> None:
        self._compose = compose

    def reflect(
        self, requests: Sequence[ReflectionRequest], progress: Progress | None = None
    ) -> list[Reflection]:
        thoughts = []
        for request in requests:
            thoughts.append(self._reflect(request))
            if progress:
                progress(len(thoughts), len(requests))
        return thoughts

    def _reflect(self, request: ReflectionRequest) -> Reflection:
        if not request.steps or not request.required_action.strip():
            raise ReflectionFault(
                "a reflection needs the deviated step and the required action; "
                f"got {len(request.steps)} steps and the action {request.required_action!r}"
            )
        thought = " ".join(
            self._compose(request).split()
        )  # one line: a turn is one Thought and one Action line
        if not thought:
            raise ReflectionFault(
                f"the template found nothing to say about {request.steps[-1].action!r} before "
                f"{request.required_action!r}: mend the world's composing function"
            )
        return Reflection(thought, self.label)
