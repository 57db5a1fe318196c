"""Requests to servers on this machine bypass any proxy that the environment names."""

from __future__ import annotations

import os

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


def bypass_proxy_for_loopback() -> None:
    """Add this machine's loopback names to NO_PROXY and no_proxy, for this process and its children. Libraries read one
    of the two or prefer the second, so both get the entries of both."""
    entries: dict[str, None] = {}
    for variable in ("no_proxy", "NO_PROXY"):
        entries |= dict.fromkeys(
            name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()
        )
    if "*" not in entries:
        merged = ",".join({**entries, **dict.fromkeys(LOOPBACK_NAMES)})
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = merged
