"""Of the stages that find and repair deviations: rewards and calibrate."""

from __future__ import annotations

from flows.artifacts.markdown import code, inline, joined, quoted, table
from flows.artifacts.page import RunSource
from flows.artifacts.pictures import gap_picture
from flows.runs.run import batches_of
from flows.summary.table import Table, words
from flows.work.forecast import expected
from rollouts.budget import describe_spending
from storage.records import TrajectoryRecord
from storage.shards import ShardStore

VERDICTS = """
SELECT verdict, rule, count(*), count_if(selected) FROM run_deviations
WHERE run_id = $run AND round = $round GROUP BY verdict, rule
ORDER BY list_position(['deviated', 'not_deviated', 'undecided', 'filtered'], verdict), count(*) DESC, rule
"""
ROLLOUTS = """
SELECT count(*), coalesce(sum(tokens), 0)::BIGINT, coalesce(sum(n_steps), 0)::BIGINT FROM run_rollouts
WHERE run_id = $run AND round = $round
"""
MEANINGS = {
    "deviated": "a mistake by the run's rule",
    "not_deviated": "no mistake",
    "undecided": "not enough to tell",
    "filtered": "not judged, for the reason beside it",
}
"""The verdicts, in a few words."""
PAID = "SELECT rollouts_paid FROM stage_costs WHERE run_id = $run AND round = $round AND stage = 'rewards'"
REPAIRS = """
SELECT CASE WHEN kept THEN 'kept' ELSE 'rejected' END, coalesce(rejection, ''), plan, count(*) FROM run_calibrations
WHERE run_id = $run AND round = $round GROUP BY ALL ORDER BY 1, count(*) DESC, 2, 3
"""
EXAMPLE = """
SELECT k.calibration_id, k.trajectory_id, t.instruction, d.step_index, d.expert_action, d.explored_action, d.gap,
    k.reflection, k.reflector
FROM run_calibrations k JOIN deviations d USING (deviation_id) JOIN tasks t ON t.task_id = k.task_id
WHERE k.run_id = $run AND k.round = $round AND k.kept
ORDER BY d.gap NULLS LAST, k.calibration_id LIMIT 1
"""
REPAIR = """
SELECT step_index, action, observation FROM steps
WHERE trajectory_id = $trajectory AND step_index >= $first ORDER BY step_index LIMIT 12
"""


def rewards(source: RunSource, round: int) -> str:
    """Verdicts with the rule that decided each, the gaps, and the forecast beside what was spent."""
    return joined(
        table(verdicts_of(source, round)),
        gap_picture(source, round),
        table(_spending(source, round)),
    )


def verdicts_of(source: RunSource, round: int) -> Table:
    """How many comparisons have which verdict, and by which rule; and what these verdicts mean."""
    found = source.rows(VERDICTS, round=round)
    rows = tuple((words(verdict), rule, f"{n:,}", f"{selected:,}") for verdict, rule, n, selected in found)
    kinds = dict.fromkeys(verdict for verdict, *_ in found)
    meanings = "; ".join(f"{words(kind)}: {MEANINGS[kind]}" for kind in kinds)
    return Table("Verdicts", ("verdict", "why"), ("comparisons", "selected"), rows, (f"{meanings}.",))


def _spending(source: RunSource, round: int) -> Table:
    """Rollouts: how many were forecast, how many the comparisons have, how many this run played itself."""
    ((rollouts, tokens, turns),) = source.rows(ROLLOUTS, round=round)
    rows = [*_forecast(source, round)]
    rows.append(("in the comparisons", f"{rollouts:,} rollouts: {turns:,} turns, {tokens:,} tokens"))
    for (paid,) in source.rows(PAID, round=round):
        if paid is not None:
            stored = "; the others were stored before" if paid < rollouts else ""
            rows.append(("played by this run in this round", f"{paid:,} rollouts{stored}"))
    state = source.stage("rewards", round)
    if state is not None and state.spent and source.config:
        rows.append(("spent by the run so far", describe_spending(state.spent, source.config.budget)))
    if state is not None and state.stopped:
        rows.append(("ended early", f"{state.stopped}; comparisons without enough rollouts are undecided"))
    return Table("Rollouts", ("what", "how many"), (), tuple(rows))


def _forecast(source: RunSource, round: int) -> list[tuple[str, str]]:
    """The forecast from the same explorations, whether or not rollouts were stored before the stage began."""
    state = source.stage("explore", round)
    if source.config is None or state is None:
        return []
    shards = ShardStore(source.folder.root)
    runs = [run for ref in batches_of(state, "explore") for run in shards.read(ref, TrajectoryRecord)]
    candidates, likely, most = expected(runs, source.config)
    said = f"at most {candidates:,} candidates; about {likely:,} rollouts, at most {most:,}"
    return [("forecast, had nothing been stored", said)]


def calibrate(source: RunSource, round: int) -> str:
    """Repairs that were kept and rejected, with the reasons, and one kept repair."""
    repairs = tuple(
        (outcome, words(reason), words(plan), f"{n:,}")
        for outcome, reason, plan, n in source.rows(REPAIRS, round=round)
    )
    return joined(
        table(Table("Calibrations", ("outcome", "why", "plan"), ("repairs",), repairs)),
        *(_example(source, *row) for row in source.rows(EXAMPLE, round=round)),
    )


def _example(
    source: RunSource, calibration: str, trajectory: str, instruction: str, step: int, expert: str, explored: str,
    gap: float | None, reflection: str, reflector: str,
) -> str:  # fmt: skip
    steps = source.store.query(REPAIR, {"trajectory": trajectory, "first": step})[1]
    repair = tuple((str(index), action, observation[:200]) for index, action, observation in steps)
    size = "" if gap is None else f" (gap {gap:+.2f})"
    return joined(
        f"### One kept calibration: {code(calibration)}",
        f"Task: {inline(instruction)}",
        f"At step {step} the policy chose {code(explored or '(no action)')}, the expert {code(expert)}{size}.",
        f"Reflection, by {inline(reflector)}:",
        quoted(reflection),
        table(
            Table(
                "The calibrated trajectory from the deviated turn on",
                ("step", "action", "answer"),
                (),
                repair,
            )
        ),
    )
