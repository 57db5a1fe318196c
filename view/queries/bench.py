"""The threshold bench: what a run's verdicts and training set would be at every threshold, by the macro `what_if`.

One query answers for all thresholds: the relation `at_each_delta` has every comparison once for each threshold, in a
round of its own, since the macro looks for first deviations within a round.
"""

from __future__ import annotations

from collections.abc import Sequence

from flows.drop_probabilities import probabilities
from flows.what_if import OtherRule, WhatIf
from steca.deviation import PRESETS
from view.published import Published, Row
from view.queries.runs import check_known

STEP = 0.05
DELTAS = tuple(round(STEP * place, 2) for place in range(-20, 21))
"""The thresholds, beside the run's own: all that rewards in [0, 1] can differ by."""
AT_ONCE = 20_000
"""With more comparisons than this, one threshold is answered first: all of them take seconds."""
SHOWN = 5000
"""At most so many comparisons are sent by name; the counts hold all."""
GRID = """
WITH thresholds AS (SELECT unnest($deltas) AS at, generate_subscripts($deltas, 1) - 1 AS place),
made AS (
    SELECT unnest($deviations) AS deviation_id, unnest($at) AS at, unnest($probabilities) AS probability
), at_each_delta AS (
    SELECT g.* REPLACE (g.round * 1000 + t.place AS round, t.at AS delta,
        {drop} AS drop_probability, '' AS rule,
        -- the filters ask only whether the actions are equal: that is found once, not at every threshold
        '' AS expert_action, CASE WHEN g.equal THEN '' ELSE 'other' END AS explored_action)
    FROM (SELECT *, words(explored_action) = words(expert_action) AS equal FROM step_reward_gaps) g
    CROSS JOIN thresholds t
    LEFT JOIN made m ON m.deviation_id = g.deviation_id AND m.at = t.at
    WHERE g.run_id = $run
), answered AS MATERIALIZED (
    SELECT round // 1000 AS own_round, round % 1000 AS place, deviation_id, selected, verdict, new_selected,
        CASE WHEN new_rule = 'no rollouts' THEN new_rule ELSE new_verdict END AS new_verdict
    FROM what_if($run, preset := $preset, comparisons := 'at_each_delta', with_drops := {with_drops})
), examples AS (
    SELECT c.deviation_id, count(*) AS n, sum(e.weight) AS weight
    FROM (SELECT DISTINCT example_id, weight, calibration_id FROM run_training_examples
        WHERE run_id = $run AND dataset = 'calibrated') e
    JOIN calibrations c USING (calibration_id) GROUP BY ALL
), counts AS (
    SELECT place, count_if(new_verdict = 'deviated') AS deviated,
        count_if(new_verdict = 'not_deviated') AS not_deviated,
        count_if(new_verdict = 'undecided') AS undecided, count_if(new_verdict = 'filtered') AS filtered,
        count_if(new_verdict = 'no rollouts') AS no_rollouts,
        count_if(selected AND new_selected) AS stay, count_if(selected AND NOT new_selected) AS leave,
        count_if(new_selected AND NOT selected) AS enter,
        coalesce(sum(x.n) FILTER (selected), 0)::BIGINT AS examples,
        coalesce(sum(x.n) FILTER (selected AND NOT new_selected), 0)::BIGINT AS examples_leave,
        coalesce(sum(x.weight) FILTER (selected), 0) AS weight,
        coalesce(sum(x.weight) FILTER (selected AND NOT new_selected), 0) AS weight_leaves
    FROM answered a LEFT JOIN examples x USING (deviation_id) GROUP BY place
), chosen AS (
    SELECT own_round, deviation_id, any_value(selected) AS selected,
        string_agg(new_selected::INTEGER::VARCHAR, '' ORDER BY place) AS at
    FROM answered GROUP BY ALL HAVING bool_or(selected OR new_selected)
), moving AS (
    SELECT m.own_round AS round, k.instruction, m.deviation_id, m.selected, m.at, d.task_id,
        d.explored_trajectory_id AS trajectory_id, d.step_index, d.expert_action, d.explored_action, d.gap,
        d.reference_reward, d.reference_n, d.explored_reward, d.explored_n
    FROM chosen m JOIN deviations d USING (deviation_id) JOIN tasks k USING (task_id)
    ORDER BY d.gap, m.deviation_id LIMIT {limit}
)
SELECT (SELECT list(c ORDER BY place) FROM counts c) AS counts,
    (SELECT coalesce(list(m ORDER BY gap, deviation_id), []) FROM moving m) AS moving
"""
OWN = """
SELECT preset, delta, sum(count(*)) OVER ()::BIGINT AS comparisons FROM run_deviations
WHERE run_id = $run GROUP BY ALL ORDER BY count(*) DESC LIMIT 1
"""


def presets() -> list[Row]:
    """The rules that can be asked for, with whether a threshold means anything to each."""
    return [
        {"preset": name, "by_delta": rule.needs_rewards, "test": rule.test} for name, rule in PRESETS.items()
    ]


def first_answer(
    published: Published, run: str, preset: str | None = None, delta: float | None = None
) -> Row:
    """As `bench`, but at one threshold alone (None: the run's own) where the run has many comparisons; `partial` says
    so. Raises as `bench` does."""
    own = published.row(OWN, run=run)
    if own is None or own["comparisons"] <= AT_ONCE:
        return bench(published, run, preset)
    return {**bench(published, run, preset, (own["delta"] if delta is None else delta,)), "partial": True}


def bench(
    published: Published, run: str, preset: str | None = None, deltas: Sequence[float] | None = None
) -> Row:
    """The verdicts of a run under a preset (None: its own) at each threshold (None: DELTAS and the run's own): the
    counts, and the comparisons that are selected at some threshold, `at` having a 1 for each threshold at which they
    are. D_s does not depend on the threshold. Raises StageFault where the run has no comparisons, ConfigFault for an
    unknown preset, StorageFault."""
    check_known(published, run)
    with published.cursor():
        return _bench(published, WhatIf(published.store, run, OtherRule(preset)), preset, deltas)


def _bench(published: Published, asked: WhatIf, preset: str | None, deltas: Sequence[float] | None) -> Row:
    run = asked.run
    own = published.rows(OWN, run=run)[0]
    deltas = deltas or sorted({*DELTAS, own["delta"]})
    name = preset or own["preset"]
    drops = _drops(published, asked, run, preset, deltas) if PRESETS[name].test == "posterior" else {}
    params = {
        "run": run,
        "preset": preset,
        "deltas": list(deltas),
        "deviations": [deviation for deviation, _ in drops],
        "at": [at for _, at in drops],
        "probabilities": list(drops.values()),
    }
    sql = GRID.format(
        drop="m.probability" if drops else "g.drop_probability", with_drops=bool(drops), limit=SHOWN
    )
    suffixes = asked.suffixes()
    return {
        "own": own,
        "preset": name,
        "presets": presets(),
        "deltas": list(deltas),
        **published.rows(sql, **params)[0],
        "shown": SHOWN,
        "mode": asked.mode(),
        "partial": False,
        "suffixes": {"stay": suffixes.stay, "leave": suffixes.leave, "enter": suffixes.enter},
    }


def _drops(
    published: Published, asked: WhatIf, run: str, preset: str | None, deltas: Sequence[float]
) -> dict[tuple[str, float], float | None]:
    """By comparison and threshold, P(the true gap is below it)."""
    found: dict[tuple[str, float], float | None] = {}
    for delta in deltas:
        each = probabilities(published.store, run, preset, delta, asked.probability(), asked.wanted())
        found |= {(deviation, delta): value for deviation, value in each.items()}
    return found
