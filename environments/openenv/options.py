"""The options of the world, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from configs.faults import ConfigFault
from configs.load import validated
from environments.base import EnvironmentFault

NAME = "openenv"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    url: str = Field(pattern=r"^https?://.", description="Where the server is, e.g. http://localhost:8000.")
    observation: tuple[str, ...] = Field(
        (),
        description="Fields of the observation that the agent sees: of one its text, of several JSON. Default: the "
        "only text field, else all.",
    )
    reward: Literal["last", "sum"] = Field(
        "last", description="What the score so far is: the last step's reward, or the sum of all."
    )
    range: tuple[float, float] | None = Field(
        None,
        description="Lowest and highest reward (or sum), scaled to [0, 1]; beyond them it is 0 or 1. Default: rewards "
        "are in [0, 1].",
    )
    splits: dict[str, str] = Field(
        default_factory=dict,
        description="Names of splits here, and what the server calls them. Default: its own.",
    )
    timeout: float = Field(60.0, gt=0, description="Most seconds that an answer may take.")
    live_environments: int | None = Field(
        None, ge=1, description="Most sessions at a time. Default: what the server says, up to 64, else 1."
    )

    @model_validator(mode="after")
    def _increasing(self) -> Options:
        if self.range and self.range[0] >= self.range[1]:
            raise ValueError("range must be the lowest and the highest reward, e.g. [-1, 1]")
        return self


def read_options(options: Mapping[str, Any]) -> Options:
    """Raises EnvironmentFault for an unknown option, a wrong value or a missing one."""
    try:
        return validated(Options, options, f"{NAME}: environment.options")
    except ConfigFault as fault:
        raise EnvironmentFault(str(fault)) from None
