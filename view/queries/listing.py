"""The list of a run's trajectories: filters, one page at a time, and the neighbours of a trajectory in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from steca.vocabulary import DatasetName, Decision
from view.published import Published, Row
from view.queries.runs import check_known

PAGE = 50
Order = Literal["task", "gap", "value", "steps", "reward"]

MINE = """
mine AS (  -- each trajectory once, although several rounds may hold it
    SELECT trajectory_id, any_value(task_id) AS task_id, any_value(kind) AS kind, min(round) AS round,
        any_value(n_steps) AS n_steps, any_value(outcome) AS outcome,
        any_value(success) AS success, any_value(end_reason) AS end_reason,
        any_value(invalid_actions) AS invalid_actions, any_value(first_observation) AS first_observation
    FROM run_trajectories WHERE run_id = $run GROUP BY trajectory_id
), decided AS (
    SELECT explored_trajectory_id AS trajectory_id, min(gap) AS gap, list_sort(list(DISTINCT verdict)) AS verdicts
    FROM run_deviations WHERE run_id = $run GROUP BY ALL
), tested AS (
    SELECT trajectory_id, any_value(role) AS role, any_value(start) AS start FROM run_evaluations
    WHERE run_id = $run GROUP BY ALL
), scored AS (
    SELECT c.trajectory_id, min(c.reward) AS value FROM compared_turns c WHERE c.run_id = $run GROUP BY ALL
), repaired AS (
    SELECT trajectory_id, any_value(rejection) AS rejection FROM run_calibrations WHERE run_id = $run GROUP BY ALL
), weighed AS (
    SELECT trajectory_id, max(weight) AS weight FROM run_training_examples WHERE run_id = $run GROUP BY ALL
), listed AS (
    SELECT m.* EXCLUDE (first_observation), k.split, k.task_type, k.instruction, t.role, t.start, d.gap,
        coalesce(d.verdicts, []) AS verdicts, s.value, r.rejection, w.weight
    FROM mine m JOIN tasks k USING (task_id)
    LEFT JOIN decided d USING (trajectory_id)
    LEFT JOIN tested t USING (trajectory_id)
    LEFT JOIN scored s USING (trajectory_id)
    LEFT JOIN repaired r USING (trajectory_id)
    LEFT JOIN weighed w USING (trajectory_id)
    WHERE {condition}
)
"""
ORDERS: dict[Order, str] = {
    "task": "round, kind, split, task_id",
    "gap": "gap NULLS LAST",
    "value": "value NULLS LAST",
    "steps": "n_steps DESC",
    "reward": "outcome",
}
FACETS = """
SELECT list_sort(list(DISTINCT t.kind)) AS kinds, list_sort(list(DISTINCT k.split)) AS splits,
    list_sort(list(DISTINCT k.task_type)) AS types, list_sort(list(DISTINCT t.round)) AS rounds
FROM run_trajectories t JOIN tasks k USING (task_id) WHERE t.run_id = $run
"""


class Filter(BaseModel):
    """Which trajectories are listed, and in which order. What is None or empty filters nothing."""

    model_config = ConfigDict(extra="forbid")
    kind: str = ""
    split: str = ""
    type: str = ""
    role: str = ""
    round: int | None = None
    success: bool | None = None
    verdict: Decision | None = None
    trained: bool | None = None
    set: DatasetName | None = None
    reward_from: float | None = None
    reward_to: float | None = None
    value_from: float | None = None
    value_to: float | None = None
    q: str = Field("", max_length=1000)
    order: Order = "task"

    def conditions(self) -> Iterator[tuple[str, Row]]:
        """(SQL on the rows, its parameters) of each filter that is set."""
        for name, column in (("kind", "kind"), ("split", "split"), ("type", "task_type"), ("role", "role")):
            if value := getattr(self, name):
                yield f"{column} = ${name}", {name: value}
        if self.round is not None:
            yield IN_ROUND, {"round": self.round}
        if self.success is not None:
            yield "success = $success", {"success": self.success}
        if self.verdict:
            yield "list_contains(d.verdicts, $verdict)", {"verdict": self.verdict}
        if self.trained is not None:
            yield f"weight IS {'NOT ' if self.trained else ''}NULL", {}
        if self.set:
            yield IN_SET, {"set": self.set}
        for name, column in (("reward", "outcome"), ("value", "value")):
            for end, sign in (("from", ">="), ("to", "<=")):
                if (value := getattr(self, f"{name}_{end}")) is not None:
                    yield f"{column} {sign} ${name}_{end}", {f"{name}_{end}": value}
        if self.q:
            yield SEARCH, {"q": self.q}


IN_ROUND = """m.trajectory_id IN (
    SELECT trajectory_id FROM run_trajectories WHERE run_id = $run AND round = $round)"""
IN_SET = """m.trajectory_id IN (
    SELECT trajectory_id FROM run_training_examples WHERE run_id = $run AND dataset = $set)"""
SEARCH = """(contains(lower(k.instruction), lower($q)) OR contains(lower(m.first_observation), lower($q))
    OR length($q) >= 6 AND (starts_with(m.trajectory_id, $q) OR starts_with(m.task_id, $q)) OR m.trajectory_id IN (
        SELECT s.trajectory_id FROM steps s
        WHERE contains(lower(s.text), lower($q)) OR contains(lower(s.observation), lower($q))))"""


def facets(published: Published, run: str) -> Row:
    """The kinds, splits, task types and rounds that the trajectories of a run have. Raises StorageFault."""
    check_known(published, run)
    return published.rows(FACETS, run=run)[0]


def listed(published: Published, run: str, filter: Filter, page: int = 0, size: int = PAGE) -> Row:
    """{total, page, size, rows}: one page (from 0) of the trajectories that a filter leaves. Raises StorageFault."""
    check_known(published, run)
    with_, params = _listed(filter)
    sql = f"""WITH {with_} SELECT *, count(*) OVER () AS total FROM listed
        ORDER BY {ORDERS[filter.order]}, trajectory_id LIMIT {size} OFFSET {page * size}"""
    rows = published.rows(sql, run=run, **params)
    total = rows[0]["total"] if rows else 0
    if not rows and page:
        total = published.rows(f"WITH {with_} SELECT count(*) AS n FROM listed", run=run, **params)[0]["n"]
    for row in rows:
        del row["total"]
    return {"total": total, "page": page, "size": size, "rows": rows}


def rows_of(published: Published, run: str, ids: Sequence[str]) -> list[Row]:
    """The rows of some trajectories, in the order "task". Raises StorageFault."""
    with_ = MINE.format(condition="list_contains($ids, trajectory_id)")
    sql = f"WITH {with_} FROM listed ORDER BY {ORDERS['task']}, trajectory_id"
    return published.rows(sql, run=run, ids=list(ids))


def neighbours(published: Published, run: str, filter: Filter, trajectory: str) -> Row:
    """{place, total, previous, next}: where a trajectory is in a filtered list, from 1, and the ids beside it; place is
    None where the filter leaves it out. Raises StorageFault."""
    with_, params = _listed(filter)
    order = f"{ORDERS[filter.order]}, trajectory_id"
    sql = f"""WITH {with_}, placed AS (
            SELECT trajectory_id, row_number() OVER w AS place, count(*) OVER () AS total,
                lag(trajectory_id) OVER w AS previous, lead(trajectory_id) OVER w AS next
            FROM listed WINDOW w AS (ORDER BY {order})
        ) SELECT place, total, previous, next FROM placed WHERE trajectory_id = $trajectory"""
    found = published.row(sql, run=run, trajectory=trajectory, **params)
    return found or {"place": None, "total": None, "previous": None, "next": None}


def _listed(filter: Filter) -> tuple[str, Row]:
    parts = list(filter.conditions())
    params = {name: value for _, given in parts for name, value in given.items()}
    return MINE.format(condition=" AND ".join(sql for sql, _ in parts) or "true"), params
