"""`steca what-if`: how another deviation rule would change the verdicts and training set of a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rich.table import Table

from cli.terminal import console as terminal
from cli.terminal.tables import print_rows
from configs.data_folder import shown
from flows.what_if import Change, OtherRule, WhatIf, find_run
from flows.wording import action_in_words, counted, gap_in_words, in_folder, is_default, setting
from steca.deviation import Rule
from steca.rewards import Tally
from storage.store import Store

Say = Callable[[str], None]
COLUMNS = ("deviated", "not_deviated", "undecided", "filtered", "no rollouts")
EXAMPLES = """
SELECT round, task_id, step_index, deviation_id, expert_action, explored_action, reference_reward, reference_n,
    explored_reward, explored_n, gap, gap_low, gap_high, verdict, rule, new_verdict, new_rule
FROM considered WHERE change = $change ORDER BY gap NULLS LAST, task_id, step_index LIMIT $limit
"""
MORE = "SELECT count(*) FROM considered WHERE greatest(reference_n, explored_n) > $wanted AND gap IS NOT NULL"
OPEN = """
SELECT count_if(new_rule IN ('no rollouts', 'too few rollouts')), count_if(new_rule = 'no rollouts'),
    count_if(new_rule = 'beyond rewards.candidates'), count_if(new_rule = 'the rollouts prove neither'),
    count_if(new_rule = 'not judged')
FROM considered
"""
CONTESTED = """
SELECT count(*) FROM considered
WHERE reference_step_reward_id IN (SELECT step_reward_id FROM rollout_conflicts)
    OR expert_step_reward_id IN (SELECT step_reward_id FROM rollout_conflicts)
    OR explored_step_reward_id IN (SELECT step_reward_id FROM rollout_conflicts)
"""
EARLIER = """
SELECT count(*) FROM considered c WHERE new_selected AND EXISTS (
    FROM considered e WHERE e.round = c.round AND e.task_id = c.task_id AND e.step_index < c.step_index
    AND e.new_rule IN ('no rollouts', 'too few rollouts'))
"""


def print_what_if(store: Store, run: str | None, question: OtherRule, examples: int, format: str) -> None:
    """Print stored and new verdicts, what enters and leaves the training set, and examples with their rollouts.

    Raises ConfigFault or StageFault where the question or the run cannot be used.
    """
    name, runs = find_run(store, run)
    considered = WhatIf(store, name, question)
    if format != "table":
        columns, rows = considered.ask("FROM considered ORDER BY round, task_id, step_index, deviation_id")
        print_rows(columns, rows, format)
        return
    out = terminal.console()
    say = partial(terminal.say, out)
    newest = f" (the newest of {runs})" if run is None and runs > 1 else ""
    matrix = considered.matrix()
    say(
        f"run   {name}{newest}: {counted(sum(matrix.values()), 'comparison')}, decided again without new rollouts"
    )
    now, then = considered.rules()
    say(f"rule  {'; '.join(_rule(rule, considered) for rule in now)}")
    say(f"new   {_rule(then, considered, question) if then else 'each comparison with its own preset'}")
    if question == OtherRule():
        options = "--preset, --delta, --error-rate, --smallest-drop or --probability"
        say(f"      the same rule: give {options} to compare another")
    _print_idle(say, then, question)
    say("")
    out.print(_matrix(matrix))
    deviations, (calibrated, weight, lost) = considered.deviations(), considered.calibrated()
    out.print(_changes(deviations, calibrated, considered.suffixes()))
    _print_notes(say, considered, then)
    if deviations.leave + deviations.enter and considered.config().get("rounds", 1) > 1:
        say("Later rounds would explore with another policy, so their part of this table may differ.")
    if lost:
        say(f"The D_c examples that leave weigh {lost:.2f} of {weight:.2f}.")
    if deviations.enter:
        say(
            f"{deviations.enter:,} deviations enter without a repair, which stage calibrate has to make. Start the"
        )
        say("run's configuration with the new rule. Everything that does not depend on it is cached:")
        say(f"  {_command(considered)}")
    for change in ("leaves", "enters"):
        _print_examples(say, considered, change, then, examples)


def _print_idle(say: Say, then: Rule | None, question: OtherRule) -> None:
    """Name the given options that the rule does not use."""
    if then is None:
        return
    by_evidence = then.needs_rewards and then.test == "evidence"
    for name, matters in (
        ("delta", then.needs_rewards),
        ("error_rate", by_evidence),
        ("smallest_drop", by_evidence),
        ("probability", then.needs_rewards and then.test == "posterior"),
    ):
        if getattr(question, name) is not None and not matters:
            say(f"      --{name.replace('_', '-')} has no effect on the verdicts of the rule {then.name}")


def _rule(rule: Rule, considered: WhatIf, question: OtherRule | None = None) -> str:
    words = f"{rule.name}, delta {rule.delta:g}"
    thresholds = {"evidence": ("error_rate", "smallest_drop"), "posterior": ("probability",)}
    stored = considered.config().get("deviation", {})
    for name in thresholds.get(rule.test, ()):
        asked = getattr(question, name, None)
        value = stored.get(name, getattr(rule, name)) if asked is None else asked
        words += f", {name.replace('_', ' ')} {value:g}"
    if rule.test == "means" and rule.needs_rewards:
        words += f", means of {counted(considered.rollouts(), 'rollout')}"
    return words


def _matrix(matrix: dict[tuple[str, str], int]) -> Table:
    names = [name for name in COLUMNS if any(name in pair for pair in matrix)]
    table = Table("stored \\ new", title="Verdicts", title_justify="left", show_footer=True)
    table.columns[0].footer = "all"
    for name in names:
        total = sum(n for (_, then), n in matrix.items() if then == name)
        table.add_column(name.replace("_", " "), justify="right", footer=f"{total:,}")
    table.add_column("all", justify="right", footer=f"{sum(matrix.values()):,}")
    for now in names:
        row = [matrix.get((now, then), 0) for then in names]
        table.add_row(now.replace("_", " "), *(f"{n:,}" if n else "" for n in row), f"{sum(row):,}")
    return table


def _changes(deviations: Change, calibrated: Change, suffixes: Change) -> Table:
    table = Table("what", title="Training set", title_justify="left")
    for heading in ("stored", "stay", "leave", "enter", "new"):
        table.add_column(heading, justify="right")
    whats = {
        "deviations to repair": deviations,
        "D_c examples": calibrated,
        "D_s examples (from these comparisons)": suffixes,
    }
    for what, change in whats.items():
        figures = (change.now, change.stay, change.leave, change.enter, change.then)
        row = [f"{figure:,}" for figure in figures]
        if change is calibrated and deviations.enter:
            row[3:] = [f"<= {deviations.enter:,}", f"<= {change.then + deviations.enter:,}"]
        table.add_row(what, *row)
    return table


def _print_notes(say: Say, considered: WhatIf, then: Rule | None) -> None:
    """Limits of the comparison that the tables do not show."""
    chosen = considered.config().get("calibration", {})
    if chosen.get("choose", "verdict") != "verdict" or chosen.get("repairs"):
        say(
            "The run chose what it repaired (calibration.choose, calibration.repairs; view repaired_turns). The table"
        )
        say("counts what the rules select.")
    ((undecided, none, beyond, unproven, unjudged),) = considered.ask(OPEN)[1]
    if beyond:
        say(f"{beyond:,} comparisons are beyond the run's rewards.candidates, so nothing is known of them.")
    if unjudged:
        say(f"{unjudged:,} comparisons were not judged by a language model: the new rule cannot decide them.")
        say("A run with judge.ask=always and judge.model stores the judgements.")
    if undecided:
        of_them = f" ({none:,} have none)" if none else ""
        say(f"{undecided:,} comparisons have too few rollouts{of_them}: the new rule cannot decide them.")
        if considered.config().get("rewards", {}).get("mode") != "fixed":
            say("A run with rewards.mode=fixed stores the rollouts for every rule.")
    if unproven:
        say(
            f"{unproven:,} comparisons are undecided with the stored rollouts; more rollouts would decide some."
        )
    ((contested,),) = considered.ask(CONTESTED)[1]
    if contested:
        say(
            f"{counted(contested, 'comparison')} with rollouts that were played twice with different results: one of"
        )
        say("each is used here, perhaps not the one that the stored verdict used (see rollout_conflicts).")
    if undecided and then and then.first_only:
        ((earlier,),) = considered.ask(EARLIER)[1]
        if earlier:
            tasks = counted(earlier, "task")
            say(
                f"In {tasks} an undecided comparison comes before the deviation to repair, and might replace it."
            )
    if then and then.needs_rewards and then.test != "evidence" and considered.mode() != "sequential":
        wanted = considered.rollouts()
        ((more,),) = considered.ask(MORE, wanted=wanted)[1]
        if more:
            say(
                f"{more:,} comparisons have more than {wanted} rollouts a side: the new rule uses the first {wanted}."
            )


def _command(considered: WhatIf) -> str:
    """The command that makes the new rule's training set. It uses the stored rollouts again."""
    asked = vars(considered.question).items()
    sets: dict[str, Any] = {f"deviation.{name}": value for name, value in asked if value is not None}
    mode = considered.mode()
    if mode != considered.config().get("rewards", {}).get("mode", mode):
        sets["rewards.mode"] = mode
    if not is_default(considered.root):  # `steca run` takes the folder from its configuration
        sets["data_dir"] = shown(considered.root)
    return "steca run --config CONFIG" + "".join(f" --set {setting(*each)}" for each in sets.items())


def _print_examples(say: Say, considered: WhatIf, change: str, then: Rule | None, limit: int) -> None:
    rows = considered.ask(EXAMPLES, change=change, limit=limit)[1] if limit else []
    if rows:
        trace = f"steca trace DEVIATION{in_folder(considered.root)}"
        say(f"\n{change.capitalize()}, lowest gap first (`{trace}` shows the rollouts):")
    for row in rows:
        round, task, step, deviation, expert, explored, *evidence, verdict, rule, new_verdict, new_rule = row
        before, before_n, after, after_n, gap, low, high = evidence
        at = f"  round {round}" if round > 1 else ""
        say(f"  deviation {deviation[:10]}  task {task}  step {step}{at}")
        say(f"    expert   {action_in_words(expert)}")
        say(f"    agent    {action_in_words(explored)}")
        say(f"    reward   {_reward(before, before_n)} -> {_reward(after, after_n)}")
        say("    gap      " + ("not scored" if gap is None else gap_in_words(gap, low, high)))
        say(f"    verdict  {_verdict(verdict, rule)} -> {_verdict(new_verdict, new_rule)}")
        if verdict == new_verdict:
            say(f"    why      {_why(change, then)}")


def _verdict(verdict: str, rule: str) -> str:
    return f"{verdict.replace('_', ' ')} ({rule})"


def _why(change: str, then: Rule | None) -> str:
    """Why a deviation under both rules enters or leaves."""
    if change == "leaves":
        return "another turn of its task is now the first deviation"
    return (
        "now the first deviation of its task"
        if then and then.first_only
        else "every deviation of a task counts"
    )


def _reward(reward: float | None, n: int | None) -> str:
    if reward is None:
        return "not scored"
    if not n:
        return f"{reward:.2f} (it ended the episode)"
    low, high = Tally(n, reward * n).interval
    return f"{reward:.2f} ({counted(n, 'rollout')}, {low:.2f}-{high:.2f})"
