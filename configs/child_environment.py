"""The environment of child processes: ours without secrets that they do not need.

A secret that a child does not need may end up in its log, its crash report or its telemetry. Removed are the variables
that a `key_env` names, and all whose names look like a secret's, whoever the provider is (OPENAI_API_KEY, HF_TOKEN,
AWS_SECRET_ACCESS_KEY).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection

SECRET_ENDINGS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIALS", "KEY_ID")
"""Of names. TOKENIZERS_PARALLELISM and the like end otherwise."""
_LOGIN = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)
"""An address with a password in it, such as a database's."""


def environment_without_secrets(names: Collection[str] = (), except_prefix: str = "") -> dict[str, str]:
    """Our environment without the variables `names` and without all that look like a secret, except those that start
    with `except_prefix` ("PREFECT_" for Prefect's own server)."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in names
        and (bool(except_prefix and name.startswith(except_prefix)) or not _is_secret(name, value))
    }


def _is_secret(name: str, value: str) -> bool:
    """A proxy's address stays: without it a child reaches nothing."""
    return is_secret_name(name) or (bool(_LOGIN.match(value)) and not name.upper().endswith("_PROXY"))


def is_secret_name(name: str) -> bool:
    """Whether a variable's name says that its value is a secret."""
    return name.upper().endswith(SECRET_ENDINGS)
