"""What a world's methods must give, and how a fault of them is told: in one line, with its place."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from environments.base import EnvironmentFault, StepResult, Task
from environments.states.calling import reset, step

TASK = Task("t1")


class Answers:
    """An environment that gives, or raises, what it was made with."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def reset(self, task: Task, seed: int) -> Any:
        return self._given()

    def step(self, action: str) -> Any:
        return self._given()

    def _given(self) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


NONSENSE = " (an action that makes no sense is answered with valid=False)"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (("You see.", 1.0, True), "must return a StepResult, and returned ('You see.', 1.0, True)"),
        (None, "must return a StepResult, and returned None"),
        (StepResult(b"x"), "must answer with an observation as text, and gave b'x'"),  # type: ignore[arg-type]
        (StepResult("x", 100.0), "gave the reward 100, outside [0, 1]: scale it (1 is success)"),
        (StepResult("x", -0.1), "gave the reward -0.1, outside [0, 1]: scale it (1 is success)"),
        (
            StepResult("x", float("nan")),
            "gave the reward nan: it must be a number in [0, 1], the score reached so far",
        ),
        (
            StepResult("x", True),
            "gave the reward True: it must be a number in [0, 1], the score reached so far",
        ),
        (KeyError("n"), f"raised KeyError: 'n' (test_calling.py, line N): mend the world{NONSENSE}"),
        (
            ValueError("two\nlines"),
            f"raised ValueError: two lines (test_calling.py, line N): mend the world{NONSENSE}",
        ),
        (SystemExit(3), f"raised SystemExit: 3 (test_calling.py, line N): mend the world{NONSENSE}"),
        (
            StepResult("\ud800"),
            "gave a text with half a character (a lone surrogate): decode it with errors='replace'",
        ),
    ],
)
def test_a_step_that_is_none_is_told_in_one_line(answer: Any, problem: str) -> None:
    with pytest.raises(EnvironmentFault) as fault:
        step(Answers(answer), TASK, "go north")
    assert re.sub(r"line \d+", "line N", str(fault.value)) == f"task t1: step('go north') {problem}"


def test_right_answers_pass_and_failed_connections_are_the_callers() -> None:
    assert step(Answers(StepResult("x", 0.5)), TASK, "go").reward == 0.5
    assert step(Answers(StepResult("é", np.float32(0.25))), TASK, "go") == StepResult("é", 0.25)  # type: ignore[arg-type]
    assert type(step(Answers(StepResult("x", 1)), TASK, "go").reward) is float
    assert reset(Answers("You see."), TASK, 0) == "You see."
    for error in (ConnectionResetError("gone"), TimeoutError("late")):
        with pytest.raises(type(error)):
            step(Answers(error), TASK, "go")


def test_a_reset_must_give_text() -> None:
    with pytest.raises(EnvironmentFault, match="task t1: reset must return the first observation as text"):
        reset(Answers(("You see.", {})), TASK, 0)
    with pytest.raises(EnvironmentFault, match="task t1: reset gave a text with half a character"):
        reset(Answers("\udfff"), TASK, 0)
