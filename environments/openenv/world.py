"""Any OpenEnv server as a world."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from environments.base import EnvironmentFault, Task
from environments.openenv.actions import Actions, ToolActions, actions_of, calls_tools
from environments.openenv.connection import Connection, Refused
from environments.openenv.environment import OpenEnvEnvironment
from environments.openenv.http import mapping_at
from environments.openenv.observations import shown_fields
from environments.openenv.options import NAME, Options, read_options
from environments.openenv.tasks import tasks_of

USEFUL = 64
"""Most sessions that are opened unless a number is given: each has a thread."""


class OpenEnv:
    """Options: `environments/openenv/options.py`; `url` is needed."""

    ids_cover_data = True
    name = NAME
    blocking = True
    connection_options = ("url", "timeout", "live_environments")

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Asks the server what it is. Raises EnvironmentFault for a wrong option, if no server answers, and if what
        answers is no OpenEnv server."""
        self._options = read_options(options)
        about = mapping_at(f"{self._base}/metadata", self._options.timeout)
        schema = mapping_at(f"{self._base}/schema", self._options.timeout)
        for part in ("action", "observation"):
            if not isinstance(schema.get(part), dict):
                raise EnvironmentFault(
                    f"{self._base}/schema has no schema of an {part}: it is no OpenEnv server"
                )
        self._shown = shown_fields(schema["observation"], self._options.observation)
        self._actions = self._read_actions(schema["action"])
        self.version = _version(about, [schema, self.tools()], self._options)
        self.live_environments = self._options.live_environments or _said_to_hold(about)
        self._tasks = tasks_of(self._options, str(about.get("name") or NAME))

    def splits(self) -> Sequence[str]:
        return self._tasks.splits()

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        return self._tasks.of(split, count, seed)

    def environment(self) -> OpenEnvEnvironment:
        return OpenEnvEnvironment(self._options, self._actions, self._shown)

    def tools(self) -> list[dict[str, Any]]:
        return self._actions.tools()

    @property
    def _base(self) -> str:
        return self._options.url.rstrip("/")

    def _read_actions(self, schema: Mapping[str, Any]) -> Actions:
        return ToolActions(self._listed_tools()) if calls_tools(schema) else actions_of(schema)

    def _listed_tools(self) -> tuple[Mapping[str, Any], ...]:
        try:
            connection = Connection(self._base, self._options.timeout)
            try:
                answer = connection.ask("step", {"type": "list_tools"})
            finally:
                connection.close()
            return tuple(answer["observation"]["tools"])
        except (ConnectionError, TimeoutError, Refused, KeyError, TypeError) as error:
            raise EnvironmentFault(
                f"{self._base}: actions are calls of tools, and none are listed: {error}"
            ) from None


def _said_to_hold(about: Mapping[str, Any]) -> int:
    """So many sessions, as far as the server says; at most as many as are useful."""
    said = about.get("max_concurrent_envs")
    return min(said, USEFUL) if isinstance(said, int) and said >= 1 else 1


def _version(about: Mapping[str, Any], schemas: Sequence[Any], options: Options) -> str:
    """The server's name and version, and the digest of its schemas and of the options that change what is seen."""
    read = [schemas, options.model_dump(include={"observation", "reward", "range"})]
    digest = hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:12]
    return f"{about.get('name')} {about.get('version')} {digest}"
