"""What all rows of the store share."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A row. `table` is its table, `key` its primary key; field descriptions become column comments."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    table: ClassVar[str]
    key: ClassVar[tuple[str, ...]]
