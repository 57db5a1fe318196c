"""The environment of processes that are started here: ours, without the keys that they have no use for.

A key that a child does not need may end up in its log, its crash report or its telemetry. Taken out are the variables
that a `key_env` names, and all whose names say that they hold a secret, whoever the provider is (OPENAI_API_KEY,
HF_TOKEN, AWS_SECRET_ACCESS_KEY).
"""

from __future__ import annotations

import os
from collections.abc import Collection

SECRET_ENDINGS = ("_KEY", "_APIKEY", "_TOKEN", "_SECRET", "_PASSWORD")


def without_keys(named: Collection[str] = (), needed: str = "") -> dict[str, str]:
    """Our environment without the variables `named` and without all that look like a secret, but for those whose names
    begin with `needed` ("PREFECT_" for Prefect's own server)."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in named and (bool(needed and name.startswith(needed)) or not holds_secret(name))
    }


def holds_secret(name: str) -> bool:
    """Whether a variable's name says that its value is one."""
    return name.upper().endswith(SECRET_ENDINGS)
