"""Calls the methods of an environment, checks what they give, and words what they raise."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from environments.base import Environment, EnvironmentFault, StepResult, Task
from environments.identities import as_listed

P = ParamSpec("P")
T = TypeVar("T")
TRANSIENT = (ConnectionError, TimeoutError)
"""What an environment raises if something outside of this process failed."""
WORLD_METHODS = {"tasks": "tasks(split, count, seed)", "environment": "environment()"}
ENVIRONMENT_METHODS = {"reset": "reset(task, seed)", "step": "step(action)"}


def refuse_without(made: object, what: str, methods: Mapping[str, str]) -> None:
    """Raises EnvironmentFault for an object that lacks one of the methods: by name, with how each is called."""
    for method in methods:
        if not callable(getattr(made, method, None)):
            kind = f"a {type(made).__name__} has no method {method}"
            raise EnvironmentFault(f"{what}: {kind}: it needs {' and '.join(methods.values())}")


def called(what: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a world's function. What it raises becomes an EnvironmentFault that says `what` was called."""
    try:
        return function(*args, **kwargs)
    except (EnvironmentFault, *TRANSIENT):
        raise
    except (Exception, SystemExit) as error:
        raise EnvironmentFault(f"{what} raised {where(error)}") from error


def reset(environment: Environment, task: Task, seed: int) -> str:
    """The first observation. Raises EnvironmentFault."""
    first = called(f"task {task.task_id}: reset", environment.reset, as_listed(task), seed)
    if not isinstance(first, str):
        raise EnvironmentFault(
            f"task {task.task_id}: reset must return the first observation as text, and returned {shown(first)}"
        )
    if not _is_unicode(first):
        raise EnvironmentFault(f"task {task.task_id}: reset {_NO_UNICODE}")
    return first


def step(environment: Environment, task: Task, action: str) -> StepResult:
    """The answer to an action. Raises EnvironmentFault."""
    try:  # not `called`: this is done for every step, and texts are costly
        result = environment.step(action)
    except (EnvironmentFault, *TRANSIENT):
        raise
    except (Exception, SystemExit) as error:
        raise EnvironmentFault(
            f"task {task.task_id}: step({action!r}) raised {where(error)} (an action that makes no sense is answered "
            "with valid=False)"
        ) from error
    if problem := _problem(result):
        raise EnvironmentFault(f"task {task.task_id}: step({action!r}) {problem}")
    return result if type(result.reward) is float else replace(result, reward=float(result.reward))


_NO_UNICODE = "gave a text with half a character (a lone surrogate): decode it with errors='replace'"


def _problem(result: object) -> str | None:
    if not isinstance(result, StepResult):
        return f"must return a StepResult, and returned {shown(result)}"
    if not isinstance(result.observation, str):
        return f"must answer with an observation as text, and gave {shown(result.observation)}"
    if not _is_unicode(result.observation):
        return _NO_UNICODE
    reward = result.reward
    if type(reward) is float and 0.0 <= reward <= 1.0:
        return None
    if isinstance(reward, bool) or not isinstance(reward, Real) or not math.isfinite(reward):
        return f"gave the reward {shown(reward)}: it must be a number in [0, 1], the score reached so far"
    if not 0.0 <= reward <= 1.0:
        return f"gave the reward {reward:g}, outside [0, 1]: scale it (1 is success)"
    return None


def where(error: BaseException) -> str:
    """An error with the place where it was raised, on one line."""
    message = " ".join(str(error).split())
    frames = (
        [] if isinstance(error, SyntaxError) else traceback.extract_tb(error.__traceback__)
    )  # it says where
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{f': {message[:200]}' if message else ''}{place}: mend the world"


def _is_unicode(text: str) -> bool:
    """Half a character of UTF-16 (a lone surrogate) can be in a Python text, and in no file."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: Any) -> str:
    """A value in a message."""
    text = repr(value)
    return f"{text[:60]}..." if len(text) > 60 else text
