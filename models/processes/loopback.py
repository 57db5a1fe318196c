"""Servers on this machine are spoken to directly, whatever proxy the environment names for all others."""

from __future__ import annotations

import os

NAMES = ("127.0.0.1", "localhost", "::1")


def spare_loopback() -> None:
    """Add the names of this machine to NO_PROXY and no_proxy, for this process and its children. Libraries read one of
    the two, or the second before the first: both get what either holds."""
    spared: dict[str, None] = {}
    for variable in ("no_proxy", "NO_PROXY"):
        spared |= dict.fromkeys(
            name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()
        )
    if "*" not in spared:
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join({**spared, **dict.fromkeys(NAMES)})
