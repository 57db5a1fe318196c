"""Who may ask: pages of other origins cannot read the store, or write labels, through the user's browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from fastapi import Request, Response
from fastapi.responses import JSONResponse

Next = Callable[[Request], Awaitable[Response]]
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""No network but this server. The page's own inline script is its import map."""
ALONE = "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data:"
"""Of a page that holds everything itself: no network at all."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")


def name_in_address(host: str) -> str:
    """A host as addresses have it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def guard(hosts: Iterable[str]) -> Callable[[Request, Next], Awaitable[Response]]:
    """A middleware that answers requests to `hosts` and this machine only, and takes writes from its own pages only."""
    known = {*THIS_MACHINE, *(name_in_address(host).lower() for host in hosts)}

    async def checked(request: Request, call_next: Next) -> Response:
        if refusal := _refusal(request, known):
            return JSONResponse({"error": refusal}, status_code=403, headers=HEADERS)
        response = await call_next(request)
        response.headers.update(HEADERS)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return checked


def _refusal(request: Request, known: set[str]) -> str:
    host = request.headers.get("host", "").lower()
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    if name not in known:
        return f"this server is not called {name}: open it as localhost, or start it with --host {name}"
    origin = request.headers.get("origin", "").lower()
    if request.method not in ("GET", "HEAD") and origin not in (f"http://{host}", f"https://{host}"):
        return "labels are taken from this server's own pages only"
    return ""
