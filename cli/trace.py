"""`steca trace`: a training example or preference pair, with its repair, verdict, and the rollouts of the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.tree import Tree

from cli.terminal.console import SafeConsole, Text, console, text
from flows.faults import StageFault
from flows.wording import action_in_words, gap_in_words, in_folder
from steca.rewards import Tally, compared_value
from storage.store import Store

Row = dict[str, Any]

FIND = """
SELECT 'example' AS kind, example_id AS id, dataset AS what FROM training_examples WHERE starts_with(example_id, $id)
UNION ALL SELECT 'calibration', calibration_id, plan FROM calibrations WHERE starts_with(calibration_id, $id)
UNION ALL SELECT 'deviation', deviation_id, verdict FROM deviations WHERE starts_with(deviation_id, $id)
ORDER BY id
"""
FIND_PAIR = """
SELECT 'pair', pair_id, method || ' ' || kind FROM preference_pairs WHERE starts_with(pair_id, $id) ORDER BY pair_id
"""
BEHIND = """
WITH things AS (
    SELECT 'a step reward' AS kind, step_reward_id AS id FROM scored_turns
    UNION SELECT 'a trajectory', trajectory_id FROM trajectories
), uses AS (
    SELECT trajectory_id AS id, example_id AS above, 1 AS rank FROM training_examples
    UNION ALL SELECT trajectory_id, calibration_id, 2 FROM calibrations
    UNION ALL SELECT unnest([
        expert_trajectory_id, explored_trajectory_id, reference_step_reward_id, expert_step_reward_id,
        explored_step_reward_id
    ]), deviation_id, 3 FROM deviations
)
SELECT t.kind, t.id, first(u.above ORDER BY u.rank, u.above) FROM things t LEFT JOIN uses u USING (id)
WHERE starts_with(t.id, $id) GROUP BY ALL ORDER BY t.id LIMIT 2
"""
SETS = {
    "calibrated": "D_c",
    "explored_success": "D_e",
    "sampled_success": "sampled success",
    "expert_suffix": "D_s",
    "expert": "expert run",
}
SIDES = {
    "reference": "the expert's turn before",
    "expert": "the expert's turn at this step (for D_s)",
    "explored": "the explored turn",
}
SHOWN = 8
"""Rollouts per turn that are shown without --all."""
NAMED = 8
"""Ids that are listed for an ambiguous prefix."""


def print_trace(store: Store, prefix: str, everything: bool, out: SafeConsole | None = None) -> None:
    """Print everything behind a training example, preference pair, calibration or deviation as a tree.

    Raises StageFault where not exactly one id starts with `prefix`.
    """
    kind, identity = find(store, prefix)
    columns, rows = store.query("FROM lineage($id)", {"id": identity})
    found = tree(kind, [dict(zip(columns, row, strict=True)) for row in rows], everything)
    if everything:
        _unfold(found)
    (out or console()).print(found)


def find(store: Store, prefix: str) -> tuple[str, str]:
    """(kind, id) of the one thing whose id is, or begins with, `prefix`. Raises StageFault."""
    listing = f'list some with `steca sql "SELECT example_id FROM training_examples LIMIT 5"{in_folder(store.root)}`'
    if not prefix:
        raise StageFault(f"the id is empty: give one, or its first letters; {listing}")
    found = [*store.query(FIND, {"id": prefix})[1], *_pairs(store, prefix)]
    exact = [row for row in found if row[1] == prefix]
    if len(exact or found) == 1:
        kind, identity, _ = (exact or found)[0]
        return str(kind), str(identity)
    if not found:
        raise StageFault(
            f"no training example, preference pair, calibration or deviation has an id that begins with {prefix!r} "
            f"in {store.published}; {_what_it_is(store, prefix) or listing}"
        )
    named = ", ".join(f"{identity} ({kind}, {what})" for kind, identity, what in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    raise StageFault(f"{len(found)} ids begin with {prefix!r}: {named}{more}; give more letters")


def _pairs(store: Store, prefix: str) -> list[tuple[str, str, str]]:
    """The preference pairs that FIND would find; none in a file that a version before 0.4 published."""
    return store.query(FIND_PAIR, {"id": prefix})[1] if _has_pairs(store) else []


def _pairs_of(store: Store, trajectory: str) -> list[str]:
    """The ids of the preference pairs that a trajectory is a side of."""
    sql = "SELECT pair_id FROM preference_pairs WHERE $id IN (chosen_trajectory_id, rejected_trajectory_id) ORDER BY 1"
    return [pair for (pair,) in store.query(sql, {"id": trajectory})[1]] if _has_pairs(store) else []


def _has_pairs(store: Store) -> bool:
    return ("preference_pairs",) in store.query("SELECT table_name FROM duckdb_tables()")[1]


def _what_it_is(store: Store, prefix: str) -> str | None:
    """For an id of a trajectory or step reward: what it is, and which command shows it in a tree."""
    found = store.query(BEHIND, {"id": prefix})[1]
    if len(found) != 1:
        return None
    ((kind, identity, above),) = found
    above = above or next(iter(_pairs_of(store, identity)), None)
    instead = f"show what uses it: `steca trace {above}{in_folder(store.root)}`"
    return f"{identity} is {kind}; {instead if above else 'nothing uses it'}"


def tree(kind: str, rows: Sequence[Row], everything: bool) -> Tree:
    """`rows` are those of the macro lineage."""
    top = rows[0]
    root = Tree(_line(_heading(kind, top)))
    task = f'{top["task_type"]}, {top["split"]}: "{top["instruction"]}"' if top["task_type"] else "not stored"
    root.add(text(" ".join(f"task {top['task_id']}  {task}".split("\n"))))  # wrapped: all else is about it
    for run in top["runs"] or ():
        config = f"configuration {short(run['config_digest'])}"
        root.add(_line(f"run {run['run_id']}  round {run['round']}, {config}"))
    if not top["runs"]:
        root.add(_line("of no run any more: its stage was redone with another result, or its run is deleted"))
    player = top["trajectory_checkpoint"]
    played = "" if player is None else f", checkpoint {short(player)}"
    root.add(_line(f"trajectory {short(top['trajectory_id'])}  {top['trajectory_kind']}{played}"))
    if kind == "pair":
        _add_rejected(root, top)
    if top["calibration_id"]:
        _add_calibration(root, top)
    if top["deviation_id"]:
        _add_verdict(root, top)
    if top["explored_trajectory_id"]:
        _add_exploration(root, top)
    turns = {side: list(group) for side, group in groupby(rows, key=lambda row: row["side"])}
    for side in SIDES:
        if side in turns:
            _add_turn(root, turns[side], everything)
        elif top["deviation_id"] and (side != "reference" or top["step_index"] > 0):
            at = top["step_index"] - (side == "reference")
            root.add(_line(f"{SIDES[side]}, step {at}: no rollouts"))
    return root


def short(identity: str) -> str:
    return identity[:10]


def _heading(kind: str, top: Row) -> str:
    if kind == "pair":
        chosen = _turns("chosen", top)
        margin = "" if top["margin"] is None else f", margin {top['margin']:.3f}"
        return f"pair {top['pair_id']}  {top['method']}, by {top['pair_kind']}{margin}, chosen: {chosen}"
    if kind != "example":
        return f"{kind} {top[f'{kind}_id']}"
    name = SETS[top["dataset"]]
    distance = "" if top["distance"] is None else f", distance {top['distance']:.3f}"
    return (
        f"example {top['example_id']}  {name}, weight {top['weight']:.3f}{distance}, "
        f"targets from step {top['target_from']}"
    )


def _turns(side: str, top: Row) -> str:
    """The turns of one side of a pair, and what they were compared by."""
    first, last, reward = top[f"{side}_from"], top[f"{side}_to"] - 1, top[f"{side}_reward"]
    turns = f"step {first}" if first == last else f"steps {first} to {last}"
    if side == "chosen" and top["chosen_rollout_id"]:
        turns = f"the first turn of rollout {short(top['chosen_rollout_id'])} as step {first}"
    return turns + ("" if reward is None else f" (reward {reward:.2f})")


def _add_rejected(root: Tree, top: Row) -> None:
    root.add(_line(f"rejected {short(top['rejected_trajectory_id'])}  {_turns('rejected', top)}"))


def _add_calibration(root: Tree, top: Row) -> None:
    fate = "kept" if top["kept"] else f"rejected: {top['rejection']}"
    if detail := top.get("rejection_detail"):  # a file that an older version published has them in one
        fate += f" ({detail})"
    branch = root.add(_line(f"calibration {short(top['calibration_id'])}  {fate}, plan {top['plan']}"))
    branch.add(text(f"reflection by {top['reflector']}: {top['reflection']}"))
    branch.add(_line(f"then: {action_in_words(top['required_action'])}"))


def _add_verdict(root: Tree, top: Row) -> None:
    chosen = "selected" if top["selected"] else "not selected"
    verdict = f"{(top['verdict'] or '').replace('_', ' ')} ({top['rule']}), {chosen}"
    branch = root.add(_line(f"verdict {short(top['deviation_id'])}  step {top['step_index']}: {verdict}"))
    branch.add(_line(f"rule {top['preset']}, delta {top['delta']:g}, compares {top['compared']}"))
    branch.add(_line(f"expert: {action_in_words(top['expert_action'])}"))
    branch.add(_line(f"agent:  {action_in_words(top['explored_action'])}"))
    for one in top.get("choices") or ():
        gap = "" if one["expected_gap"] is None else f", expected gap {one['expected_gap']:.3f}"
        branch.add(_line(f"repaired in {one['run_id']}: chosen by {one['choose']}, rank {one['rank']}{gap}"))
    for one in top.get("judgements") or ():
        branch.add(_line(f"{one['model']} says {one['label'] or 'nothing usable'}: {one['reason']}"))
    if top["gap"] is not None:
        gap = gap_in_words(top["gap"], top["gap_low"], top["gap_high"], top["error_rate"])
        branch.add(_line(f"gap {gap}"))
    better = top.get("expert_beats_explored", top.get("expert_is_better"))  # its name up to version 0.3
    if better is not None:
        branch.add(_line(f"the expert's turn is better than the agent's: {better}"))


def _add_exploration(root: Tree, top: Row) -> None:
    end = "success" if top["explored_success"] else f"failed ({top['explored_end']})"
    own = top["explored_steps"] - top["prefix_steps"]
    policy = _policy(top["explorer"], top["explorer_role"], top["explorer_round"])
    played = f"{_steps(top['prefix_steps'], 'expert ')}, then {own} by checkpoint {policy}: {end}"
    root.add(_line(f"exploration {short(top['explored_trajectory_id'])}  {played}"))


def _add_turn(root: Tree, rows: Sequence[Row], everything: bool) -> None:
    first = rows[0]
    rollouts = [row for row in rows if row["rollout_id"]]
    action = "" if first["turn_action"] is None else f": {action_in_words(first['turn_action'])}"
    branch = root.add(_line(f"{SIDES[first['side']]}, step {first['turn_index']}{action}"))
    scorer = _policy(first["scorer"], first["scorer_role"], first["scorer_round"])
    branch.add(
        _line(f"step reward {short(first['step_reward_id'])}  {_value(first, rollouts)}, scorer {scorer}")
    )
    if wrong := _contradiction(first, rollouts):
        branch.add(_line(wrong))
    shown = rollouts if everything else rollouts[:SHOWN]
    for row in shown:
        branch.add(_line(_rollout(row)))
    if len(shown) < len(rollouts):
        branch.add(_line(f"... and {len(rollouts) - len(shown)} more rollouts: --all shows them"))


def _value(turn: Row, rollouts: Sequence[Row]) -> str:
    if turn["known_outcome"] is not None and not rollouts:
        return f"{turn['reward']:.2f}: the turn ended the episode"
    if turn["reward"] is None or not rollouts:
        return "no rollouts"
    seen = Tally.of([_outcome(row) for row in rollouts])
    low, high = seen.interval
    return f"{turn['reward']:.2f} = {seen.total:g} of {seen.n} ({low:.2f}-{high:.2f})"


def _contradiction(turn: Row, rollouts: Sequence[Row]) -> str | None:
    """What is wrong where the stored reward is not the mean of its rollouts."""
    if turn["reward"] is None or not rollouts:
        return None
    mean = Tally.of([_outcome(row) for row in rollouts]).mean
    if abs(mean - turn["reward"]) < 1e-6:
        return None
    again = sum(bool(row.get("played_again")) for row in rollouts)
    why = f"; {again} were played again with another result (rollout_conflicts)" if again else ""
    return f"BUT these rollouts come to {mean:.2f}: they are not those that the verdict used{why}"


def _outcome(row: Row) -> float:
    """The outcome of a rollout as the verdict counts it."""
    return compared_value(row["rollout_outcome"], row["rollout_progress"], row["compared"])


def _rollout(row: Row) -> str:
    actions = "; ".join(map(action_in_words, row["actions"])) or "no steps"
    result = "won   " if row["rollout_outcome"] >= 1 else "failed"
    if row["compared"] != "success":
        result += f" {_outcome(row):.2f}"
    return (
        f"#{row['sample_index']:<3}{result} {_steps(row['rollout_steps'])}, {row['end_reason']}, "
        f"seed {row['seed']}: {actions}"
    )


def _steps(n: int, whose: str = "") -> str:
    return f"{n} {whose}step" + ("" if n == 1 else "s")


def _policy(digest: str | None, role: str | None, round: int | None) -> str:
    """A checkpoint by its short digest and, where it is stored, what it was trained as."""
    if digest is None:
        return "none"
    return short(digest) + ("" if role is None else f" ({role}, round {round})" if round else f" ({role})")


def _line(words: str) -> Text:
    """One line, cut if it is too long for the terminal, never wrapped. Brackets are not markup."""
    return text(" ".join(words.split("\n")), no_wrap=True, overflow="ellipsis")


def _unfold(branch: Tree) -> None:
    """Wrap lines instead of cutting them, for --all."""
    if isinstance(branch.label, Text):
        branch.label.no_wrap, branch.label.overflow = False, "fold"
    for child in branch.children:
        _unfold(child)
