"""What a comparison measured: every test episode, the training sets and the costs of each arm and seed.

It comes from the store, or from a Parquet file that was kept: one row a test episode, and the rest as JSON in the
file's metadata. Tables and picture are made from it in both cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from configs.comparison import WARM_UP, Comparison
from configs.needed import needed_stages
from flows.faults import StageFault
from flows.runs.run import run_id
from storage.files import check_name, write_atomic
from storage.runs import package_version
from storage.store import Store

METADATA = b"steca comparison"
BEGINNING, BEFORE, AFTER = "beginning", "before_deviation", "after_deviation"
"""Where a test episode starts, in the order of tables."""
STARTS = (BEGINNING, BEFORE, AFTER)
Measure = Literal["success", "reward"]
"""What of a test episode is averaged: whether it reached the goal, or the reward at its end."""


class Episode(NamedTuple):
    """One greedy test episode."""

    arm: str
    seed: int
    split: str
    start: str
    task_id: str
    task_type: str | None
    success: bool
    n_steps: int | None
    expert_steps: int | None
    invalid_actions: int | None
    outcome: float | None = None  # the reward at its end; None in files that were kept before 0.4.0

    def value(self, measure: Measure) -> float:
        """In [0, 1]."""
        known = measure == "reward" and self.outcome is not None
        return float(self.outcome if known else self.success)  # type: ignore[arg-type]


SCHEMA = pa.schema(
    [
        ("arm", pa.string()),
        ("seed", pa.int64()),
        *((name, pa.string()) for name in ("split", "start", "task_id", "task_type")),
        ("success", pa.bool_()),
        *((name, pa.int64()) for name in ("n_steps", "expert_steps", "invalid_actions")),
        ("outcome", pa.float64()),
    ]
)


class StageCost(BaseModel):
    """What one stage of one arm of one seed cost. `needed`: the arm's training set is made with this stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    arm: str
    seed: int
    stage: str
    round: int
    needed: bool
    episodes: int
    tokens: int
    reflections: int
    llm_calls: int
    llm_tokens: int
    seconds: float | None


class SetSize(BaseModel):
    """The size of one part of the training set of one arm of one seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    arm: str
    seed: int
    dataset: str
    examples: int


class Header(BaseModel):
    """All but the episodes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    reference: str
    arms: dict[str, dict[str, Any]]  # the changed settings of each arm, in the order of tables
    package_version: str
    sets: tuple[SetSize, ...] = ()
    costs: tuple[StageCost, ...] = ()


@dataclass(frozen=True)
class Results:
    """What is known of a comparison."""

    header: Header
    episodes: Sequence[Episode]

    @property
    def rows(self) -> list[str]:
        """The rows of tables: the warm-up policy, then the arms that have episodes."""
        there = {episode.arm for episode in self.episodes}
        return [arm for arm in (WARM_UP, *self.header.arms) if arm in there]

    @property
    def seeds(self) -> list[int]:
        return sorted({episode.seed for episode in self.episodes})

    @property
    def splits(self) -> list[str]:
        """The tested splits, seen before unseen."""
        return sorted({episode.split for episode in self.episodes})

    @property
    def graded(self) -> bool:
        """Whether some reward is neither 0 nor 1, so that its mean says more than success does."""
        return any(episode.value("reward") != episode.success for episode in self.episodes)

    def against(self, reference: str) -> Results:
        """The same with another reference. Raises StageFault where it is no arm."""
        if reference not in self.header.arms:
            raise StageFault(f"there is no arm {reference}; known: {', '.join(self.header.arms)}")
        return Results(self.header.model_copy(update={"reference": reference}), self.episodes)

    def part(self, arms: Sequence[str] = (), seeds: Sequence[int] = ()) -> Results:
        """Those of some arms and seeds only; empty: all. The warm-up policy and the reference stay."""
        wanted = {*arms, WARM_UP, self.header.reference} if arms else {WARM_UP, *self.header.arms}
        kept = [e for e in self.episodes if e.arm in wanted and (not seeds or e.seed in seeds)]
        header = self.header.model_copy(
            update={
                "arms": {arm: changes for arm, changes in self.header.arms.items() if arm in wanted},
                "sets": _of(self.header.sets, wanted, seeds),
                "costs": _of(self.header.costs, wanted, seeds),
            }
        )
        return Results(header, kept)


def from_store(store: Store, comparison: Comparison) -> Results:
    """What the store has of the arms and seeds of a comparison. Runs that are not completed are left out."""
    wanted = {
        (arm, seed): comparison.config(arm, seed) for arm in comparison.arms for seed in comparison.seeds
    }
    runs = {key: run_id(config) for key, config in wanted.items()}
    needed = {key: needed_stages(config) for key, config in wanted.items()}

    def rows(view: str, columns: Iterable[str]) -> Iterable[dict[str, Any]]:
        names, found = store.query(f"FROM {view} WHERE comparison = ?", [comparison.name])
        for values in found:
            row = dict(zip(names, values, strict=True))
            of = comparison.reference if row["arm"] == WARM_UP else row["arm"]
            if runs.get((of, row["seed"])) == row["run_id"]:
                yield {name: row[name] for name in columns}

    episodes = [Episode(**row) for row in rows("comparison_episodes", Episode._fields)]
    done = {(episode.arm, episode.seed) for episode in episodes}
    sets = [SetSize(**row) for row in rows("comparison_training_sets", SetSize.model_fields)]
    columns = [name for name in StageCost.model_fields if name != "needed"]
    costs = [
        StageCost(**row, needed=row["stage"] in {"train", *needed[row["arm"], row["seed"]]})
        for row in rows("comparison_costs", columns)
        if (row["arm"], row["seed"]) in done
    ]
    header = Header(
        name=comparison.name,
        reference=comparison.reference,
        arms={arm: dict(changes) for arm, changes in comparison.arms.items()},
        package_version=package_version(),
        sets=tuple(sets),
        costs=tuple(costs),
    )
    return Results(header, episodes)


def keep(results: Results, folder: Path) -> Path:
    """Write one Parquet file with everything, named after the comparison. Returns the file. Raises StorageFault."""
    columns = zip(*results.episodes, strict=True) if results.episodes else [[] for _ in SCHEMA]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    schema = SCHEMA.with_metadata({METADATA: results.header.model_dump_json().encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays, schema=schema), sink, compression="zstd")
    file = folder / f"{check_name('comparison', results.header.name)}.parquet"
    write_atomic(file, sink.getvalue().to_pybytes())
    return file


def kept(file: Path) -> Results:
    """The results in a Parquet file. Raises StageFault where it is none that `keep` wrote."""
    try:
        table = pq.read_table(file)
        header = Header.model_validate_json((table.schema.metadata or {})[METADATA])
        return Results(header, [Episode(**row) for row in table.to_pylist()])
    except FileNotFoundError:
        raise StageFault(f"there is no file {file}: give one that `steca compare --save` wrote") from None
    except OSError as error:
        raise StageFault(f"{file} cannot be read: {error.strerror or error}") from error
    except (pa.ArrowException, KeyError, TypeError, ValidationError) as error:
        raise StageFault(
            f"{file} holds no kept comparison: give a file that `steca compare --save` wrote"
        ) from error


def combined(parts: Sequence[Results]) -> Results:
    """Kept results of the same comparison, e.g. of other seeds or arms, as one. Raises StageFault where they disagree:
    on the reference, on the settings of an arm, or where two hold the same arm and seed."""
    first = parts[0].header
    arms: dict[str, dict[str, Any]] = {}
    seen: set[tuple[str, int]] = set()
    for part in parts:
        if part.header.reference != first.reference:
            raise StageFault(
                f"the files have other references ({first.reference}, {part.header.reference}): print them one by one"
            )
        for arm, changes in part.header.arms.items():
            if arms.setdefault(arm, changes) != changes:
                raise StageFault(f"the files have other settings for arm {arm}: print them one by one")
    episodes, sets, costs = [], [], []
    for part in parts:
        own = {(episode.arm, episode.seed) for episode in part.episodes} - seen
        if twice := {key for key in {(e.arm, e.seed) for e in part.episodes} & seen if key[0] != WARM_UP}:
            arm, seed = min(twice)
            raise StageFault(f"two files hold arm {arm} of seed {seed}: leave one of them out")
        episodes += [e for e in part.episodes if (e.arm, e.seed) in own]
        sets += [s for s in part.header.sets if (s.arm, s.seed) in own]
        costs += [c for c in part.header.costs if (c.arm, c.seed) in own]
        seen |= own
    update: Mapping[str, Any] = {"arms": arms, "sets": tuple(sets), "costs": tuple(costs)}
    return Results(first.model_copy(update=update), episodes)


def _of(rows: Sequence[Any], arms: set[str], seeds: Sequence[int]) -> tuple[Any, ...]:
    return tuple(row for row in rows if row.arm in arms and (not seeds or row.seed in seeds))
