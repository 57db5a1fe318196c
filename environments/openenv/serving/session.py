"""One session: an environment, and the messages about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from configs.json_text import parse_json
from environments.base import Environment, Task
from environments.identities import own_id
from environments.openenv.serving.listing import Listing, Refusal
from environments.openenv.serving.messages import Command, EpisodeState, Reset, Said, observation
from environments.states.calling import reset, step
from environments.states.snapshots import close_quietly


class Session:
    """`ended`: the client is done, or the environment failed, so that nothing can be asked any more."""

    def __init__(self, make: Callable[[], Environment], listing: Listing) -> None:
        self._make, self._listing = make, listing
        self._environment: Environment | None = None
        self._task: Task | None = None
        self._over = False
        self.state = EpisodeState()
        self.ended = False

    def answer(self, message: str) -> str | None:
        """The answer to a message; None to `close`, which has none."""
        try:
            asked = parse_json(message)
            kind, data = asked["type"], asked.get("data", {})
        except (ValueError, TypeError, KeyError, AttributeError):
            return error("INVALID_JSON", 'a message is JSON: {"type": ..., "data": {...}}')
        try:
            if kind == "reset":
                return _sent("observation", observation(self.reset(Reset.model_validate(data))))
            if kind == "step":
                return _sent("observation", observation(self.step(Command.model_validate(data))))
        except ValidationError as problem:
            details = problem.errors(include_url=False, include_context=False, include_input=False)
            return error("VALIDATION_ERROR", "Invalid message", errors=details)
        except Refusal as problem:
            return error("EXECUTION_ERROR", str(problem))
        except Exception as problem:  # whatever the world raises, it is not asked again
            self.ended = True
            return error("SESSION_ERROR", f"{type(problem).__name__}: {problem}")
        if kind == "state":
            return _sent("state", self.state.model_dump())
        if kind == "close":
            self.ended = True
            return None
        return error("UNKNOWN_TYPE", f"Unknown message type: {kind}")

    def reset(self, wanted: Reset) -> Said:
        """Raises Refusal, and what the world raises."""
        task = self._listing.chosen(wanted)
        if self._environment is None:
            self._environment = self._make()
        first = reset(self._environment, task, wanted.seed or 0)
        self._task, self._over = task, False
        identity = wanted.episode_id or uuid4().hex
        self.state = EpisodeState(episode_id=identity, task_id=own_id(task), split=task.split)
        return Said(text=first)

    def step(self, action: Command) -> Said:
        """Raises Refusal where no episode is running, and what the world raises."""
        if self._environment is None or self._task is None or self._over:
            raise Refusal(f"the episode is {'over' if self._over else 'not begun'}: reset first")
        result = step(self._environment, self._task, action.command)
        self._over = result.done
        self.state.step_count += 1
        return Said(text=result.observation, valid=result.valid, done=result.done, reward=result.reward)

    def close(self) -> None:
        close_quietly(self._environment)


def error(code: str, message: str, **more: Any) -> str:
    """An error as it is sent."""
    return _sent("error", {"message": message, "code": code, **more})


def _sent(kind: str, data: dict[str, Any]) -> str:
    return json.dumps({"type": kind, "data": data})
