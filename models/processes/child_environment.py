"""The environment of child processes: ours without secrets that they do not need.

A secret that a child does not need may end up in its log, its crash report or its telemetry. Removed are the variables
that a `key_env` names, and all whose names look like a secret's, whoever the provider is (OPENAI_API_KEY, HF_TOKEN,
AWS_SECRET_ACCESS_KEY).
"""

from __future__ import annotations

import os
from collections.abc import Collection

SECRET_ENDINGS = ("_KEY", "_APIKEY", "_TOKEN", "_SECRET", "_PASSWORD")


def environment_without_secrets(names: Collection[str] = (), except_prefix: str = "") -> dict[str, str]:
    """Our environment without the variables `names` and without all that look like a secret, except those that start
    with `except_prefix` ("PREFECT_" for Prefect's own server)."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in names
        and (bool(except_prefix and name.startswith(except_prefix)) or not is_secret_name(name))
    }


def is_secret_name(name: str) -> bool:
    """Whether a variable's name says that its value is a secret."""
    return name.upper().endswith(SECRET_ENDINGS)
