"""Phrases that messages share: counts, intervals, and commands to type, quoted for the shell; and text from outside,
made harmless to show."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from configs.data_folder import shown

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters; tab and line feed stay
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # marks that turn the direction of writing, line separators
    "\ud800-\udfff\ufeff]"  # halves of characters (what a file name in no UTF-8 becomes), byte order mark
)


def nothing_to_do(run: str) -> str:
    """Of a stage that a run does not need. `run` names it, e.g. "this run"."""
    return f"nothing to do: what {run} trains on does not need it"


def in_folder(root: Path) -> str:
    """The option that makes a `steca` command find the data folder; "" for the default folder."""
    return "" if is_default(root) else f" --data-dir {shlex.quote(shown(root))}"


def to_start(root: Path) -> str:
    """The command that starts a run in a data folder, which is a setting there and not an option."""
    folder = "" if is_default(root) else f" --set {setting('data_dir', shown(root))}"
    return f"`steca run{folder}`"


def another_run(root: Path, change: str) -> str:
    """The command that starts a run with the same configuration and one changed setting, NAME=VALUE."""
    folder = "" if is_default(root) else f" --set {setting('data_dir', shown(root))}"
    return f"`steca run --config CONFIG --set {change}{folder}`"


def no_runs(root: Path) -> str:
    """What every command says of a data folder that is empty or not there."""
    here = shown(root)
    return f"no runs in {here} yet: start one with {to_start(root)}, or give the folder of your runs with --data-dir"


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


def gap_in_words(gap: float, low: float | None, high: float | None, error_rate: float | None = None) -> str:
    """A gap and its interval. The interval has three decimals: its ends lie on a grid of .0025, and one below 0 must
    not read -0.00."""
    if low is None or high is None:
        return f"{gap:+.2f}"
    rate = "" if error_rate is None else f", error rate {error_rate:g} at each end"
    return f"{gap:+.2f} (interval from the rollouts: {low:+.3f} to {high:+.3f}{rate})"


def action_in_words(action: str) -> str:
    """An action of a turn as it is printed; a turn may have none."""
    return action or "(no action)"


def visible(line: str) -> str:
    """The text with escaped control characters."""
    return _HIDDEN.sub(lambda found: repr(found[0])[1:-1], line)
