"""Reflectors write the reflective thoughts of calibrated trajectories: their protocol, and the template reflector.

A reflector sees what the agent saw: the task, the history up to and including the deviated turn and its observation,
and the action that is required next. It never chooses the action.
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
    `attempts`: how many replies were requested, None without a language model."""

    thought: str
    source: str
    attempts: int | None = None


@dataclass(frozen=True, slots=True)
class NoReflection:
    """No usable thought: why the last of `attempts` replies was unusable."""

    reason: str
    attempts: int


class ReflectionFault(Exception):
    """A reflector that cannot write reflections. The message says what to do."""


class Reflector(Protocol):
    @property
    def label(self) -> str:
        """The `source` of its reflections in the store: "template" or a model's name."""
        ...

    def reflect(
        self, requests: Sequence[ReflectionRequest], progress: Progress | None = None
    ) -> Sequence[Reflection | NoReflection]:
        """One outcome for each request, in order. Raises ReflectionFault if the reflector cannot be used."""
        ...


Compose = Callable[[ReflectionRequest], str]


class TemplateReflector:
    """Offline: a function of the world composes the thought from the observations. Labelled `template`, so that it is
    never mistaken for a language model's."""

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
                f"the template produced no thought about {request.steps[-1].action!r} before "
                f"{request.required_action!r}: fix the world's reflection template"
            )
        return Reflection(thought, self.label)
