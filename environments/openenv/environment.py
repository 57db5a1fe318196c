"""Plays one episode at a time in a session with the server."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from configs.json_text import parse_json
from environments.base import EnvironmentFault, StepResult, Task
from environments.openenv.actions import Actions, ToolActions, Unfit
from environments.openenv.connection import Connection, Refused
from environments.openenv.observations import Score, text_of, text_of_call
from environments.openenv.options import Options


class OpenEnvEnvironment:
    """Connects at the first reset. A session that has ended is replaced by the next reset, and by no step."""

    def __init__(self, options: Options, actions: Actions, shown: tuple[str, ...]) -> None:
        self._options, self._actions, self._shown = options, actions, shown
        self._connection: Connection | None = None
        self._score = Score(options)

    def reset(self, task: Task, seed: int) -> str:
        self._score = Score(self._options)
        data = {"seed": seed, **parse_json(task.payload)}
        used = self._connection is not None
        try:
            answer = self._started(data)
        except ConnectionError:
            if not used:
                raise
            answer = self._started(data)  # the server was started anew since the last episode
        if answer.get("done"):
            raise EnvironmentFault(f"task {task.task_id} is over before the first action: leave it out")
        return text_of(answer["observation"], self._shown)

    def step(self, action: str) -> StepResult:
        try:
            answer = self._ask("step", self._actions.payload(action))
        except (Unfit, Refused) as refusal:
            return StepResult(str(refusal), self._score.after(None), valid=False)
        observation = answer["observation"]
        text, valid = text_of(observation, self._shown), bool(observation.get("valid", True))
        if isinstance(self._actions, ToolActions):
            text, valid = text_of_call(observation)
        return StepResult(text, self._score.after(answer.get("reward")), bool(answer.get("done")), valid)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _started(self, data: dict[str, Any]) -> dict[str, Any]:
        """The answer to a reset. One that the server cannot do counts as a failure outside of this process."""
        if self._connection is None:
            self._connection = Connection(self._options.url, self._options.timeout)
        try:
            return self._ask("reset", data)
        except Refused as refusal:
            raise ConnectionError(f"{self._options.url}: reset({json.dumps(data)}): {refusal}") from None

    def _ask(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        if self._connection is None:
            raise ConnectionError(f"{self._options.url}: the session has ended")
        try:
            answer = self._connection.ask(kind, data)
        except (ConnectionError, TimeoutError):
            with suppress(Exception):
                self.close()
            raise
        if not isinstance(answer.get("observation"), dict):
            raise ConnectionError(f"{self._options.url}: the answer to {kind} has no observation")
        return answer
