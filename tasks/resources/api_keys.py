"""API keys, from where they are kept: an environment variable, else a Prefect Secret block. They go nowhere else."""

from __future__ import annotations

import os
from typing import Any

from configs.servers import EndpointConfig
from models.policy import PolicyFault


def key_of(endpoint: EndpointConfig, what: str) -> str | None:
    """The key of an endpoint; None where it is configured to need none. `what` names it in messages.
    Raises PolicyFault where a key is named but not there."""
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
    """A key that can go into a header: libraries would quote a wrong one in their errors."""
    if not (key and key.isascii() and key.isprintable() and " " not in key):
        raise PolicyFault(
            f"{where} holds no key: it is empty, or blanks, line breaks or letters beyond ASCII are in it"
        )
    return key


def _secret(name: str, what: str) -> str:
    from prefect.blocks.system import Secret

    try:
        block: Any = Secret.load(name)  # a coroutine only where there is an event loop: here is none
        value = block.get()
    except ValueError:  # not chained: what is wrong with a block's content may be told with the content
        raise PolicyFault(
            f"{what} has no key: there is no Prefect Secret block {name!r}; make it in the Prefect UI under Blocks"
        ) from None
    return str(value).strip()
