"""Phrases that messages share: counts, intervals, and commands to type, quoted for the shell."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any


def in_folder(root: Path) -> str:
    """The option that makes a `steca` command find the data folder; "" for the default folder."""
    return "" if is_default(root) else f" --data-dir {shlex.quote(str(root))}"


def to_start(root: Path) -> str:
    """The command that starts a run in a data folder, which is a setting there and not an option."""
    folder = "" if is_default(root) else f" --set {setting('data_dir', root)}"
    return f"`steca run{folder}`"


def is_default(root: Path) -> bool:
    """Whether it is the data folder of commands without an option."""
    return root.expanduser().resolve() == Path("data").resolve()


def setting(name: str, value: Any) -> str:
    """The argument of --set, quoted for the shell. A text that YAML would read as something else is quoted for it
    too."""
    import yaml

    words = str(value)
    try:
        as_it_is = yaml.safe_load(words) == (words if isinstance(value, Path) else value)
    except yaml.YAMLError:
        as_it_is = False
    return shlex.quote(f"{name}={words if as_it_is else json.dumps(words)}")


def counted(n: int, what: str) -> str:
    """1 rollout, 2 rollouts."""
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def between(low: float, high: float) -> str:
    """An interval of a gap, with three decimals: its ends lie on a grid of .0025, and one below 0 must not read
    -0.00."""
    return f"between {low:+.3f} and {high:+.3f}"
