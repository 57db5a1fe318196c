"""What of the server's answers becomes the text of an observation, and the score."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from environments.base import EnvironmentFault
from environments.openenv.actions import ASIDE, fields, is_text
from environments.openenv.options import NAME, Options

ROUNDING = 1e-9
"""So much a sum of rewards may be outside of [0, 1] without a `range`."""


def shown_fields(schema: Mapping[str, Any], named: tuple[str, ...]) -> tuple[str, ...]:
    """The fields that the agent sees: the named ones, else the only text field. Empty: all. Raises EnvironmentFault
    for a name that the schema does not have."""
    own = fields(schema)
    if unknown := [name for name in named if name not in own]:
        raise EnvironmentFault(
            f"{NAME}: the server's observations have no field {unknown[0]!r}; they have {', '.join(own) or 'none'}"
        )
    texts = [name for name, kind in own.items() if is_text(kind)]
    return named or (tuple(texts) if len(texts) == 1 else ())


def text_of(observation: Mapping[str, Any], shown: tuple[str, ...]) -> str:
    """One field's text, or several fields (all, if none is named) as JSON. An observation without fields shows what its
    metadata say."""
    there = {name: value for name, value in observation.items() if name not in ASIDE}
    chosen = {name: there[name] for name in shown if name in there} or there or observation.get("metadata")
    return _text(next(iter(chosen.values())) if chosen and len(chosen) == 1 else chosen)


def text_of_call(observation: Mapping[str, Any]) -> tuple[str, bool]:
    """What a tool answered, and whether it worked."""
    if error := observation.get("error"):
        return str(error.get("message", error)), False
    result = observation.get("result")
    if not isinstance(result, dict):
        return _text(result), True
    said = [
        str(part["text"]) for part in result.get("content") or () if isinstance(part, dict) and "text" in part
    ]
    return "\n".join(said) or _text(result.get("data", result)), not result.get("is_error")


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Score:
    """The score so far, in [0, 1], from the rewards of the steps."""

    def __init__(self, options: Options) -> None:
        self._options, self._rewards = options, [0.0]

    def after(self, reward: float | None) -> float:
        """The score after one more step; a step without a reward leaves it as it was. Raises EnvironmentFault for one
        outside of [0, 1] where no range is given."""
        if reward is not None:
            self._rewards = [*(self._rewards if self._options.reward == "sum" else ()), float(reward)]
        score = math.fsum(self._rewards)
        low, high = self._options.range or (0.0, 1.0)
        if self._options.range is None and not -ROUNDING <= score <= 1 + ROUNDING:
            raise EnvironmentFault(
                f"{NAME}: the server's reward ({self._options.reward}) is {score:g}: set environment.options.range to "
                "its lowest and highest, e.g. [-1, 1]"
            )
        return min(max((score - low) / (high - low), 0.0), 1.0)
