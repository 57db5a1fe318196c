"""The types of the flows' parameters. Prefect makes the forms in its UI from them.

A parameter that is left empty keeps what the configuration says. Its JSON schema has no null: else the form would ask
for the type of every field first. What a field may hold is checked by the configuration itself, with its own messages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from configs.forms import field_schema
from configs.schema import FactoryConfig
from configs.stages import STAGES

NEXT = "next"


def _field(name: str) -> WithJsonSchema:
    return WithJsonSchema(field_schema(name))


def _text(**more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **more})


SEED_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "enum": [NEXT]}],
    "description": "A number, or next (tab str): one more than the largest seed of the runs that differ in nothing "
    "else, so that a schedule makes new data.",
}

Configuration = Annotated[FactoryConfig | str, _text(description="The configuration file.")]
KnownRun = Annotated[
    FactoryConfig | str, _text(description="Id or name of the run; newest: the one that was created last.")
]
Seed = Annotated[int | Literal["next"] | None, WithJsonSchema(SEED_SCHEMA)]
Rounds = Annotated[int | None, _field("rounds")]
Demonstrations = Annotated[int | None, _field("demonstrations")]
Exploration = Annotated[int | None, _field("exploration")]
Seen = Annotated[int | None, _field("seen")]
Unseen = Annotated[int | None, _field("unseen")]
Preset = Annotated[str | None, _field("preset")]
Threshold = Annotated[float | None, _field("threshold")]
Mode = Annotated[str | None, _field("mode")]
BudgetRollouts = Annotated[int | None, _field("budget_rollouts")]
BudgetMinutes = Annotated[float | None, _field("budget_minutes")]
Change = Annotated[str, Field(pattern=r"^\s*[a-z_0-9]+(\.[a-z_0-9]+)*\s*=")]
Changes = list[Change]
FromStage = Annotated[
    str | None,
    _text(
        enum=list(STAGES),
        description="Start at this stage. What comes before it must be complete. Empty: start with the first.",
    ),
]
Approve = list[Literal["rewards", "calibrate", "train"]]
Round = Annotated[int, Field(ge=1)]
_FOLDER = _text(description="Folder of the runs and the store. Empty: the configuration's.")
Folder = Annotated[str | None, _FOLDER]
FolderPath = Annotated[Path | None, _FOLDER]
