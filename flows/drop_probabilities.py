"""The probabilities of drops of a stored run under the preset `probable`, as a relation for the macro what_if."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from steca.deviation import Rule, preset
from steca.posterior import drop_probability
from steca.rewards import Tally
from steca.stopping import verdict_so_far
from storage.store import Store

PROBABLE = "probable"
ROWS = """
WITH first AS (
    SELECT step_reward_id, count_if(outcome >= 1) AS success, sum(coalesce(progress, outcome)) AS progress,
        sum(outcome) AS score
    FROM distinct_rollouts WHERE sample_index < $wanted GROUP BY ALL
)
SELECT DISTINCT g.deviation_id, coalesce($delta, g.delta),
    g.reference_reward, g.reference_n, picked(g.compared_outcome, x.success, x.progress, x.score),
    g.explored_reward, g.explored_n, picked(g.compared_outcome, y.success, y.progress, y.score)
FROM step_reward_gaps g
LEFT JOIN first x ON x.step_reward_id = g.reference_step_reward_id
LEFT JOIN first y ON y.step_reward_id = g.explored_step_reward_id
WHERE g.run_id = $run AND coalesce($preset, g.preset) = 'probable'
"""
RELATION = """with_probabilities AS (
    SELECT g.* REPLACE (made.probability AS drop_probability)
    FROM {gaps} g LEFT JOIN (
        SELECT unnest($deviations) AS deviation_id, unnest($probabilities) AS probability
    ) made ON made.deviation_id = g.deviation_id
),"""


def probabilities(
    store: Store, run: str, name: str | None, delta: float | None, probability: float, wanted: int | None
) -> dict[str, float | None]:
    """By deviation id, P(drop) at the new delta; None where the rollouts leave the verdict open. Empty if no comparison
    of the run is decided by the preset. `wanted`: the verdict is that of so many outcomes a side; None: of all."""
    rows = store.query(ROWS, {"run": run, "preset": name, "delta": delta, "wanted": wanted or 0})[1]
    found: dict[str, float | None] = {}
    for deviation, new_delta, before, before_n, before_first, after, after_n, after_first in rows:
        reference = first_outcomes(before, before_n, before_first, wanted)
        explored = first_outcomes(after, after_n, after_first, wanted)
        found[deviation] = _decisive(
            reference, explored, preset(PROBABLE, new_delta, probability=probability), wanted
        )
    return found


def relation(gaps: str, found: dict[str, float | None]) -> tuple[str, dict[str, Any]]:
    """(SQL of the relation `with_probabilities` over the relation `gaps`, its parameters)."""
    return RELATION.format(gaps=gaps), {
        "deviations": [*found],
        "probabilities": [*found.values()],
    }


def first_outcomes(reward: float | None, n: int | None, first: float | None, wanted: int | None) -> Tally:
    """A side's tally over its first `wanted` outcomes, which sum to `first`; over all if there are no more, or if
    `wanted` is None."""
    if wanted is not None and n is not None and n > wanted:
        return Tally(wanted, first or 0.0)
    return Tally.stored(reward, n)


@lru_cache(maxsize=1 << 14)
def _decisive(reference: Tally, explored: Tally, rule: Rule, wanted: int | None) -> float | None:
    verdict = verdict_so_far(reference, explored, rule, wanted).verdict
    return None if verdict == "undecided" else drop_probability(reference, explored, rule.delta)
