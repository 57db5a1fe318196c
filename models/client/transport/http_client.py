"""The HTTP client for one server, given to the `openai` package."""

from __future__ import annotations

from typing import Any
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
        return DirectClient(trust_env)
    try:
        return openai.DefaultAsyncHttpxClient(trust_env=trust_env)
    except (ImportError, ValueError) as error:
        problem = type(error).__name__  # its text may hold the proxy's password
    raise RequestError(
        "refused", f"the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names cannot be used ({problem})"
    )


class DirectClient(openai.DefaultAsyncHttpxClient):
    """Sends bytes to a server without a proxy. A request that needs more than that (a stream, a redirect) takes the
    way of its base class."""

    def __init__(self, trust_env: bool) -> None:
        self._direct = KeepAliveTransport(trust_env)
        super().__init__(transport=self._direct, trust_env=trust_env)
        self._urls: dict[str, httpx2.URL] = {}
        self._own = [(name, value) for name, value in self.headers.raw if name.lower() != b"user-agent"]

    def build_request(self, method: str, url: Any, *, headers: Any = None, **given: Any) -> httpx2.Request:
        """`timeout` has no effect: see KeepAliveTransport."""
        content = given.get("content")
        if not isinstance(content, bytes) or not isinstance(headers, list) or given.get("params"):
            return super().build_request(method, url, headers=headers, **given)
        parsed = self._urls.get(url)
        if parsed is None:
            parsed = self._urls[url] = httpx2.URL(url)
        named = {name.lower() for name, _ in headers}
        own = [(name, value) for name, value in self._own if name.decode().lower() not in named]
        length = b"%d" % len(content)
        return httpx2.Request(
            method,
            parsed,
            headers=[(b"Host", parsed.netloc), *own, *headers, (b"Content-Length", length)],
            cookies=self.cookies or None,
            stream=httpx2.ByteStream(content),
        )

    async def send(self, request: httpx2.Request, **given: Any) -> httpx2.Response:
        if self.is_closed or given.get("stream"):
            return await super().send(request, **given)
        response = await self._direct.handle_async_request(request)
        response.request = request
        if response.has_redirect_location:  # not answered there: nothing is paid twice
            return await super().send(request, **given)
        if "set-cookie" in response.headers:  # by which some load balancers know their clients
            self.cookies.extract_cookies(response)
        return response
