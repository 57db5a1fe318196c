"""The HTTP client for one server."""

from __future__ import annotations

from urllib.request import getproxies

import httpx2
import openai

from models.client.errors import RequestError
from models.client.transport.keep_alive import KeepAliveTransport
from models.served.verification import on_this_machine


def http_client(base_url: str) -> httpx2.AsyncClient:
    """The client for requests to `base_url`. Raises RequestError if the environment names a proxy that cannot be
    used."""
    trust_env = not on_this_machine(base_url)  # requests to this machine bypass any configured proxy
    if not (trust_env and getproxies()):
        return openai.DefaultAsyncHttpxClient(transport=KeepAliveTransport(trust_env), trust_env=trust_env)
    try:
        return openai.DefaultAsyncHttpxClient(trust_env=trust_env)
    except (ImportError, ValueError) as error:
        problem = type(error).__name__  # its text may hold the proxy's password
    raise RequestError(
        "refused", f"the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names cannot be used ({problem})"
    )
