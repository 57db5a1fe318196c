"""The data folder as it is given: a path, or a URL of an object store, for which a folder of this machine stands.

All work is done in that folder, the mirror; `storage/remote/` keeps it in step with the URL. Its name is the URL, so
that child processes and later commands find one from the other without a file that says so.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote

from pydantic import BeforeValidator, PlainSerializer

MIRRORS = "STECA_MIRRORS"
"""Variable that names the folder of the mirrors. Default: steca/mirrors in the user's folder for caches."""
LONGEST = 200
"""Characters of a mirror's name. A file name may have 255 bytes."""
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/{1,3}([^/].*|$)", re.DOTALL)
"""One slash too: a path that was made of a URL has lost the other. A drive of Windows has one letter."""
_PARTS = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._=+,-]+)*")


def data_folder(given: str | Path) -> Path:
    """The folder to work in, for a path or a URL. Raises ValueError for a URL that cannot be one of a data folder."""
    text = str(given)
    found = _URL.fullmatch(text)
    if not found:
        return Path(given)
    scheme, rest = found[1], found[2].rstrip("/")
    if scheme == "file":
        return Path("/" + rest)
    if "@" in rest:
        raise ValueError(
            "a URL with a password: credentials come from the environment, e.g. AWS_ACCESS_KEY_ID"
        )
    if not _PARTS.fullmatch(rest) or {".", ".."} & set(rest.split("/")):
        raise ValueError(f"got {scheme}://{rest!r}; allowed: a folder, or a URL such as s3://bucket/prefix")
    name = "+".join([scheme, *(_quoted(part) for part in rest.split("/"))])
    if len(name) > LONGEST:
        raise ValueError(f"the URL is longer than {LONGEST} characters: choose a shorter prefix")
    return mirrors() / name


def mirrors() -> Path:
    """The folder of all mirrors of this user, absolute."""
    named = os.environ.get(MIRRORS)
    if named:
        return Path(named).expanduser().resolve()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(cache) / "steca" / "mirrors").resolve()


def url_of(folder: Path) -> str | None:
    """The URL that a folder is the mirror of; None for every other folder."""
    folder = folder.expanduser().absolute()
    scheme, plus, rest = folder.name.partition("+")
    if not plus or folder.parent.resolve() != mirrors():
        return None
    return f"{scheme}://" + "/".join(unquote(part.replace("~", "%")) for part in rest.split("+"))


def shown(folder: Path) -> str:
    """The data folder as its user gives it: the URL of a mirror, else the path."""
    return url_of(folder) or str(folder)


def _quoted(part: str) -> str:
    """Part of a URL without a character that means something in a path, a URL or a format. Undone by `url_of`."""
    return quote(part, safe="").replace("~", "%7E").replace("%", "~")


def _validated(given: Any) -> Any:
    """A text stays one: read as JSON, a setting is never given as a path."""
    if isinstance(given, str):
        return str(data_folder(given))
    return data_folder(given) if isinstance(given, Path) else given


DataFolder = Annotated[
    Path, BeforeValidator(_validated), PlainSerializer(shown, return_type=str, when_used="json")
]
"""A setting: a path, or a URL, which becomes the path of its mirror, and is a URL again in JSON."""
