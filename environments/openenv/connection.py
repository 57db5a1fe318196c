"""One session with an OpenEnv server."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

from configs.json_text import parse_json
from environments.openenv.http import is_local

LARGEST = 100 * 2**20
"""Bytes of a message, as in the package's own client."""
ANSWERS = ("VALIDATION_ERROR", "EXECUTION_ERROR")
"""Errors that are about what was asked. After any other, the session cannot be used."""


class Refused(Exception):
    """The server answered with an error, and the session goes on. The message is the server's."""


class Connection:
    """An open session. Its methods, and making it, raise ConnectionError and TimeoutError."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url, self._timeout = f"ws{url.rstrip('/').removeprefix('http')}/ws", timeout
        try:
            self._socket = connect(
                self._url,
                open_timeout=timeout,
                close_timeout=1.0,
                ping_timeout=None,  # a server that is busy with a step may not answer; `timeout` is the limit
                compression=None,
                max_size=LARGEST,
                proxy=None if is_local(url) else True,
            )
        except (OSError, WebSocketException) as error:
            raise ConnectionError(f"{self._url}: {error}") from None

    def ask(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """The data of the answer to a message. Raises Refused."""
        with suppress(ConnectionClosed):  # what the server said before it closed is read below
            self._socket.send(json.dumps({"type": kind, "data": data}))
        try:
            answer = parse_json(self._socket.recv(self._timeout))
            said, of = dict(answer["data"]), answer["type"]
        except TimeoutError:
            raise TimeoutError(f"{self._url}: no answer to {kind} in {self._timeout:g} seconds") from None
        except ConnectionClosed as error:
            raise ConnectionError(f"{self._url}: the session has ended: {error}") from None
        except (ValueError, KeyError, TypeError):
            raise ConnectionError(f"{self._url}: the answer to {kind} is no message of OpenEnv") from None
        if of != "error":
            return said
        if said.get("code") in ANSWERS:
            raise Refused(_worded(said))
        raise ConnectionError(f"{self._url}: {_worded(said)}{_advice(said)}")

    def close(self) -> None:
        with suppress(Exception):
            self._socket.send(json.dumps({"type": "close"}))
        self._socket.close()


def _worded(error: dict[str, Any]) -> str:
    """The message of an error, with the fields that it is about."""
    details = [
        f"{'.'.join(map(str, one.get('loc', ())))}: {one.get('msg')}"
        for one in error.get("errors") or ()
        if isinstance(one, dict)
    ]
    return ": ".join([str(error.get("message")), *(["; ".join(details)] if details else [])])


def _advice(error: dict[str, Any]) -> str:
    if error.get("code") != "CAPACITY_REACHED":
        return ""
    return (
        f": let it hold more sessions, or set environment.options.live_environments (here {error.get('max_sessions')} "
        "for all processes together)"
    )
