"""Calls the methods of an environment, checks what they give, and words what they raise."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from environments.base import Environment, EnvironmentFault, StepResult, Task

P = ParamSpec("P")
T = TypeVar("T")
TRANSIENT = (ConnectionError, TimeoutError)
"""What an environment raises if something outside of this process failed."""


def called(what: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a world's function. What it raises becomes an EnvironmentFault that says `what` was called."""
    try:
        return function(*args, **kwargs)
    except (EnvironmentFault, *TRANSIENT):
        raise
    except Exception as error:
        raise EnvironmentFault(f"{what} raised {where(error)}") from error


def reset(environment: Environment, task: Task, seed: int) -> str:
    """The first observation. Raises EnvironmentFault."""
    first = called(f"task {task.task_id}: reset", environment.reset, task, seed)
    if not isinstance(first, str):
        raise EnvironmentFault(
            f"task {task.task_id}: reset must return the first observation as text, and returned {_shown(first)}"
        )
    return first


def step(environment: Environment, task: Task, action: str) -> StepResult:
    """The answer to an action. Raises EnvironmentFault."""
    try:  # not `called`: this is done for every step, and texts are costly
        result = environment.step(action)
    except (EnvironmentFault, *TRANSIENT):
        raise
    except Exception as error:
        raise EnvironmentFault(f"task {task.task_id}: step({action!r}) raised {where(error)}") from error
    if problem := _problem(result):
        raise EnvironmentFault(f"task {task.task_id}: step({action!r}) {problem}")
    return result


def _problem(result: object) -> str | None:
    if not isinstance(result, StepResult):
        return f"must return a StepResult, and returned {_shown(result)}"
    if not isinstance(result.observation, str):
        return f"must answer with an observation as text, and gave {_shown(result.observation)}"
    reward = result.reward
    if type(reward) is float and 0.0 <= reward <= 1.0:
        return None
    if isinstance(reward, bool) or not isinstance(reward, int | float) or not math.isfinite(reward):
        return f"gave the reward {_shown(reward)}: it must be a number in [0, 1], the score reached so far"
    if not 0.0 <= reward <= 1.0:
        return f"gave the reward {reward:g}, outside [0, 1]: scale it (1 is success)"
    return None


def where(error: BaseException) -> str:
    """An error with the place where it was raised, on one line."""
    message = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{f': {message[:200]}' if message else ''}{place}: mend the world"


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text[:60]}..." if len(text) > 60 else text
