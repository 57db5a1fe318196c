"""The formats by their names."""

from __future__ import annotations

import difflib
from typing import Any

from formats.faults import FormatFault
from formats.targets.analysis.parquet import Parquet
from formats.targets.analysis.traces import Atif, HfTraces
from formats.targets.analysis.verdicts import Stepwise, Verdicts
from formats.targets.context import Context
from formats.targets.target import Target
from formats.targets.trainers.axolotl import AxolotlDpo, AxolotlSft
from formats.targets.trainers.llamafactory import LlamafactoryDpo, LlamafactorySft
from formats.targets.trainers.llamafactory_v1 import LlamafactoryV1Dpo, LlamafactoryV1Sft
from formats.targets.trainers.openai import FireworksSft, OpenaiDpo, OpenaiSft
from formats.targets.trainers.role_masked import PrimeRlSft, VerlSft
from formats.targets.trainers.sharegpt import Sharegpt
from formats.targets.trainers.steca_authors import StecaAuthors
from formats.targets.trainers.trl import TrlDpo, TrlSft
from formats.targets.trainers.verl_rl import VerlRl

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
        LlamafactoryV1Sft,
        LlamafactoryV1Dpo,
        AxolotlSft,
        AxolotlDpo,
        VerlSft,
        VerlRl,
        PrimeRlSft,
        StecaAuthors,
        Parquet,
        Verdicts,
        Stepwise,
        Atif,
        HfTraces,
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
