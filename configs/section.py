"""What all sections of the configuration share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Amount = Annotated[float, Field(gt=0)]


def _expanded(path: Path) -> Path:
    """The path with `~` as the home folder. `~name` of an unknown user stays as it is."""
    return Path(os.path.expanduser(path))


HomePath = Annotated[Path, AfterValidator(_expanded)]
"""A path that may start with `~`: the home folder of the user who loads the configuration."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
