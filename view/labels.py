"""What people say of verdicts: labels on turns, stored beside the store, and the detector's precision by them."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from configs.json_text import parse_json
from storage.faults import StorageFault
from view.published import Published, Row

FILE = "labels.jsonl"
PRECISION = """
WITH said AS (SELECT unnest($deviations) AS deviation_id, unnest($labels) AS label)
SELECT d.verdict, count(*) AS n, count_if(label = 'agree') AS agreed, agreed / n AS rate,
    wilson_low(agreed, n) AS low, wilson_high(agreed, n) AS high
FROM said JOIN (SELECT DISTINCT deviation_id, verdict FROM run_deviations WHERE run_id = $run) d USING (deviation_id)
GROUP BY d.verdict ORDER BY d.verdict
"""


class Label(BaseModel):
    """What a person says of the verdict on a turn. The last one of a person on a verdict counts."""

    model_config = ConfigDict(extra="forbid")
    deviation_id: str = Field(min_length=1, max_length=100)
    trajectory_id: str = Field(min_length=1, max_length=100)
    step_index: int = Field(ge=0)
    label: Literal["agree", "disagree", "none"]
    by: str = Field("", max_length=100)
    note: str = Field("", max_length=10_000)


class Labels:
    """The labels of a data folder: a JSON line each, appended and never changed, so any tool can read them, DuckDB's
    `read_json` too."""

    def __init__(self, root: Path) -> None:
        self.file = root / FILE
        self._lock = threading.Lock()

    def add(self, label: Label) -> None:
        """Append a label. Raises StorageFault where the file cannot be written."""
        line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **label.model_dump()}
        data = json.dumps(line, ensure_ascii=True).encode() + b"\n"
        try:
            with self._lock, self.file.open("ab") as file:
                if file.tell() and not self._ends_whole():
                    data = b"\n" + data  # a killed process left half a line
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageFault(f"the label was not kept: {self.file} cannot be written: {error}") from error

    def _ends_whole(self) -> bool:
        with self.file.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def all(self) -> list[Label]:
        """The labels that count, one a person and verdict. Lines that are none are left out. Raises StorageFault."""
        try:
            lines = self.file.read_text("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageFault(f"{self.file} cannot be read: {error}") from error
        last: dict[tuple[str, str], Label] = {}
        for line in lines:
            if label := _read(line):
                last[label.by, label.deviation_id] = label
        return [label for label in last.values() if label.label != "none"]

    def of(self, trajectory: str) -> list[Row]:
        """The labels on the turns of a trajectory."""
        return [label.model_dump() for label in self.all() if label.trajectory_id == trajectory]

    def precision(self, published: Published, run: str) -> list[Row]:
        """By verdict, how many labelled ones people agree with, with the 95 % Wilson interval. For the verdict deviated
        the rate is the detector's precision. Raises StorageFault."""
        labels = self.all()
        if not labels:
            return []
        said = {"deviations": [x.deviation_id for x in labels], "labels": [x.label for x in labels]}
        return published.rows(PRECISION, run=run, **said)


def _read(line: str) -> Label | None:
    try:
        fields = parse_json(line)
        fields.pop("at", None)
        return Label.model_validate(fields)
    except (ValueError, ValidationError, AttributeError):
        return None
