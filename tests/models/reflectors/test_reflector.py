"""The reflector seam: what a reflector is shown, and what the offline one gives back."""

from __future__ import annotations

import pytest

from models.reflectors.reflector import ReflectionFault, ReflectionRequest, TemplateReflector
from steca.types import Step

DEVIATED = Step("Thought: t\nAction: open box 1", "t", "open box 1", "Nothing happens.", False, "deviation")


def request(required: str = "go to shelf 3", steps: tuple[Step, ...] = (DEVIATED,)) -> ReflectionRequest:
    return ReflectionRequest("put a mug on a shelf", "You are in a room.", steps, required)


def test_the_template_gets_the_whole_request_and_its_thought_is_one_line() -> None:
    def compose(seen: ReflectionRequest) -> str:
        last = seen.steps[-1]
        return f"{last.action} led to: {last.observation}\n So I {seen.required_action}. "

    (reflection,) = TemplateReflector(compose).reflect([request()])
    assert reflection.thought == "open box 1 led to: Nothing happens. So I go to shelf 3."
    assert reflection.source == TemplateReflector(compose).label == "template"


@pytest.mark.parametrize("bad", [request(required=" "), request(steps=())])
def test_a_request_without_deviation_or_action_is_refused(bad: ReflectionRequest) -> None:
    with pytest.raises(ReflectionFault, match="needs the deviated step and the required action"):
        TemplateReflector(lambda _: "something").reflect([bad])


def test_an_empty_thought_is_refused_and_named() -> None:
    with pytest.raises(ReflectionFault, match="'open box 1' before 'go to shelf 3'"):
        TemplateReflector(lambda _: "\n").reflect([request()])
