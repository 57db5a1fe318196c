"""Which rows of a run are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from formats.faults import FormatFault
from steca.vocabulary import TRAIN, Decision


@dataclass(frozen=True)
class Filters:
    """Empty or None: all. `sets` are names of the source's sets; `where` is an SQL expression over its columns."""

    sets: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    min_weight: float | None = None
    where: str | None = None

    def asked(self) -> dict[str, Any]:
        """The filters that are set, as JSON values."""
        return {name: value for name, value in asdict(self).items() if value not in ((), None)}


def check_filters(filters: Filters, sets: Sequence[str], columns: Sequence[str], trains: bool) -> None:
    """Raises FormatFault for a set, verdict or split that there is not, or that the rows cannot be filtered by.
    `trains`: the rows are trained on, so only the split of training tasks can be asked for."""
    _known("--sets", filters.sets, sets)
    _known("--verdict", filters.verdicts, Decision.__args__)  # type: ignore[attr-defined]
    if filters.verdicts and "verdict" not in columns:
        raise FormatFault("--verdict: the rows of this format have no verdict: leave it out")
    if filters.min_weight is not None and "weight" not in columns:
        raise FormatFault("--min-weight: the rows of this format have no weight: leave it out")
    if held_out := [split for split in filters.splits if trains and split != TRAIN]:
        raise FormatFault(
            f"--split {held_out[0]}: test tasks are held out of everything that is trained on; "
            "formats of traces have them"
        )


def _known(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    if wrong := [name for name in given if name not in known]:
        raise FormatFault(f"{option} {wrong[0]}: there is none; known for this format: {', '.join(known)}")


def conditions(filters: Filters, of_set: str) -> tuple[str, dict[str, Any]]:
    """(SQL condition, its parameters) of the filters; `of_set` is the column that names a row's set."""
    parts, values = ["NOT held_out"], dict[str, Any]()
    for column, wanted in ((of_set, filters.sets), ("verdict", filters.verdicts), ("split", filters.splits)):
        if wanted:
            parts.append(f"list_contains($wanted_{column}, {column})")
            values[f"wanted_{column}"] = list(wanted)
    if filters.min_weight is not None:
        parts.append("weight >= $min_weight")
        values["min_weight"] = filters.min_weight
    if filters.where is not None:
        parts.append(f"({filters.where}\n)")
    return " AND ".join(parts), values
