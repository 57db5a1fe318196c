"""What an OpenEnv server says over HTTP: schemas, name, tasks."""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from environments.base import EnvironmentFault


def asked(url: str, timeout: float, body: object = None) -> Any:
    """The JSON answer to a GET, or with a body to a POST. None if the server has no such page, or cannot do this (404,
    405, 501). Raises EnvironmentFault if there is no server, for another error, and for what is not JSON."""
    data = None if body is None else json.dumps(body).encode()
    opener = build_opener(*([ProxyHandler({})] if is_local(url) else []))
    try:
        with opener.open(Request(url, data, {"Content-Type": "application/json"}), timeout=timeout) as answer:
            return json.load(answer)
    except HTTPError as error:
        with error:
            if error.code in (404, 405, 501):
                return None
            raise EnvironmentFault(f"{url} answered {error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise EnvironmentFault(
            f"no OpenEnv server answers at {url}: {reason}: start it, or change its URL"
        ) from None
    except ValueError:
        raise EnvironmentFault(
            f"{url} answers with something else than JSON: it is no OpenEnv server"
        ) from None


def is_local(url: str) -> bool:
    """Whether a server is on this machine: no proxy is asked then."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def mapping_at(url: str, timeout: float) -> dict[str, Any]:
    """The answer to a GET that every OpenEnv server has. Raises EnvironmentFault."""
    found = asked(url, timeout)
    if not isinstance(found, dict):
        raise EnvironmentFault(f"there is no OpenEnv server at {url}: it has no such page")
    return found
