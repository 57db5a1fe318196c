"""The formats by their names."""

from __future__ import annotations

import difflib
from typing import Any

from formats.faults import FormatFault
from formats.targets.llamafactory import LlamafactoryDpo, LlamafactorySft
from formats.targets.openai import FireworksSft, OpenaiDpo, OpenaiSft
from formats.targets.parquet import Parquet
from formats.targets.sharegpt import Sharegpt
from formats.targets.target import Context, Target
from formats.targets.trl import TrlDpo, TrlSft

TARGETS: dict[str, type[Target[Any]]] = {
    target.name: target
    for target in (
        TrlSft,
        TrlDpo,
        OpenaiSft,
        OpenaiDpo,
        FireworksSft,
        Sharegpt,
        LlamafactorySft,
        LlamafactoryDpo,
        Parquet,
    )
}


def target_called(name: str, context: Context = "refuse") -> Target[Any]:
    """The format with a name. Raises FormatFault for an unknown one, and for a way of --context that it has not."""
    if name not in TARGETS:
        near = difflib.get_close_matches(name, TARGETS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise FormatFault(f"no format is called {name!r}: {hint}known: {', '.join(TARGETS)}")
    target = TARGETS[name]
    if context != "refuse" and context not in target.contexts:
        ways = ", ".join(target.contexts)
        why = f"it has {ways}" if ways else "it can leave turns out of the loss, so leave --context out"
        raise FormatFault(f"--context {context} is not for {name}: {why}")
    return target(context)
