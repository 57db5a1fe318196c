"""API keys, read from an environment variable or else from a Prefect Secret block, and stored nowhere else."""

from __future__ import annotations

import os
from typing import Any

from configs.servers import EndpointConfig
from models.policy import PolicyFault


def key_of(endpoint: EndpointConfig, what: str) -> str | None:
    """The key of an endpoint; None if it is configured without one. `what` names the endpoint in messages.
    Raises PolicyFault if the named key is missing."""
    if endpoint.key_env and (key := os.environ.get(endpoint.key_env, "").strip()):
        return _checked(key, f"the environment variable {endpoint.key_env}")
    if endpoint.key_secret:
        return _checked(_secret(endpoint.key_secret, what), f"the Prefect secret {endpoint.key_secret}")
    if endpoint.key_env:
        raise PolicyFault(
            f"{what} has no key: set the environment variable {endpoint.key_env}, or name a Prefect Secret block in "
            f"{what}.key_secret (a server that needs none: {what}.key_env='')"
        )
    return None


def _checked(key: str, where: str) -> str:
    """Check that a key is a valid header value: libraries quote invalid ones in their errors."""
    if not (key and key.isascii() and key.isprintable() and " " not in key):
        raise PolicyFault(
            f"{where} holds no valid key: it is empty, or has blanks, line breaks or non-ASCII characters in it"
        )
    return key


def _secret(name: str, what: str) -> str:
    from prefect.blocks.system import Secret

    try:
        block: Any = Secret.load(
            name
        )  # returns a coroutine only inside an event loop, and there is none here
        value = block.get()
    except ValueError:  # not chained: the cause may quote the content of the block
        raise PolicyFault(
            f"{what} has no key: there is no Prefect Secret block {name!r}; make it in the Prefect UI under Blocks"
        ) from None
    return str(value).strip()
