"""What a person sees before deciding: the forecast, the verdicts with their evidence, or the repairs."""

from __future__ import annotations

from configs.schema import FactoryConfig
from flows.artifacts.markdown import code, inline, joined, table
from flows.artifacts.page import RunSource
from flows.artifacts.stages.verdicts import calibrate, verdicts_of
from flows.reporting.progress import current
from flows.stage_run import StageRun
from flows.summary.table import words
from flows.wording import action_in_words, counted, gap_in_words
from flows.work.chain import explored, scorer
from flows.work.forecast import forecast
from rollouts.budget import describe_spending
from steca.vocabulary import RewardOutcome
from storage.runs import RunFolder

SAMPLE = """
SELECT verdict, instruction, step_index, explored_action, expert_action, explored_reward, explored_n, reference_reward,
    reference_n, gap, gap_low, gap_high
FROM step_reward_gaps JOIN tasks USING (task_id)
WHERE run_id = $run AND round = $round AND verdict IN ('deviated', 'not_deviated')
QUALIFY row_number() OVER (PARTITION BY verdict ORDER BY md5(deviation_id)) <= 4
ORDER BY verdict, md5(deviation_id)
"""
"""A fixed sample of either verdict."""


def shown_before(config: FactoryConfig, folder: RunFolder, stage: str, round: int) -> str:
    """Markdown for the form that lets a stage begin. Raises StorageFault."""
    source = RunSource(folder.root, folder.run_id)
    parts = {"rewards": _forecast, "calibrate": _verdicts, "train": _repairs}[stage](config, source, round)
    return joined(
        f"## Stage {stage} of run {code(folder.run_id)} waits for you",
        "*Resume* lets it begin. To end the run, choose *abort* at the bottom first.",
        _stopped(source, round),
        parts,
        f"Spent so far: {describe_spending(folder.spent(), config.budget)}." if stage != "rewards" else "",
    )


def _forecast(config: FactoryConfig, source: RunSource, round: int) -> str:
    stage = StageRun("rewards", config, source.folder, round, False, current())
    said = forecast(stage, explored(stage), scorer(stage))
    return f"{said[0].upper()}{said[1:]}."


def _verdicts(config: FactoryConfig, source: RunSource, round: int) -> str:
    return joined(table(verdicts_of(source, round)), _sample(source, round, config.deviation.outcome))


def _repairs(config: FactoryConfig, source: RunSource, round: int) -> str:
    return calibrate(source, round)


def _stopped(source: RunSource, round: int) -> str:
    state = source.stage("rewards", round)
    if state is None or not state.stopped:
        return ""
    return (
        f"**The stage rewards ended early: {state.stopped}.** With a larger budget it goes on first, and you are asked "
        "again."
    )


def _sample(source: RunSource, round: int, outcome: RewardOutcome) -> str:
    """Verdicts with their evidence: the means and numbers of rollouts on both sides, and the gap. A list, because the
    form is too narrow for a table."""
    found = [_line(outcome, *row) for row in source.rows(SAMPLE, round=round)]
    return joined("### Some verdicts with their evidence", "\n".join(found)) if found else ""


def _line(
    outcome: RewardOutcome, verdict: str, task: str, step: int, explored_action: str, expert_action: str,
    explored_mean: float | None, explored_n: int | None, expert_mean: float | None, expert_n: int | None,
    gap: float | None, low: float | None, high: float | None,
) -> str:  # fmt: skip
    where = (
        f'- **{words(verdict)}**, step {step} of "{inline(task)}": {code(action_in_words(explored_action))} '
    )
    where += f"instead of {code(action_in_words(expert_action))}"
    explored, expert = _mean(explored_mean, explored_n), _mean(expert_mean, expert_n)
    if gap is not None:
        measured = inline(gap_in_words(gap, low, high))
        return f"{where}; mean {outcome} {explored}, before it {expert}; gap {measured}"
    if explored or expert:
        side = f"mean {outcome} {explored}" if explored else f"before it mean {outcome} {expert}"
        return f"{where}; {side}, which decides alone"
    return f"{where}; decided without rollouts"


def _mean(mean: float | None, rollouts: int | None) -> str:
    """A step reward; "" if the turn was not scored. Where a turn ended the episode, its value is known without
    rollouts."""
    if mean is None:
        return ""
    return (
        f"{mean:.2f} over {counted(rollouts, 'rollout')}"
        if rollouts
        else f"{mean:.2f} (the episode ended there)"
    )
