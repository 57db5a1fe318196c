"""Preference pairs from stored rows, and what the trainer gets of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from models.training.examples import PreferencePair
from rollouts.rows import StoredTrajectory, explorations, of_type
from rollouts.stages import pairs
from rollouts.stages.explore import explore
from rollouts.stages.pairs import PairSet, assemble_pairs, pair_inputs, why_none
from rollouts.stages.score import score, score_for_ipr
from storage.records import (
    CalibrationRecord,
    PreferencePairRecord,
    Record,
    RolloutRecord,
    ScoredTurnRecord,
)
from storage.rollout_pool import RolloutPool
from tests.support.rollouts_toys import (
    GARBAGE,
    LOOK,
    Seen,
    Toy,
    config,
    demonstrated,
    like_expert,
    runs_of,
    world,
)
from tests.support.staged_rows import StagedRows, staged_rows

N = 3
CONFIG = config(
    environment={"step_cap": 16},
    rewards={"mode": "fixed", "rollouts": N},
    deviation={"preset": "paper", "delta": 0},
)
AT = 2
"""Where the greedy policy leaves the expert's way."""


def absent_minded(now: Seen) -> str:
    """Greedy, it looks around at step AT and is lost then; sampled, it acts as the expert unless it is lost already."""
    if LOOK in now.texts:
        return GARBAGE
    return LOOK if now.seed is None and len(now.steps) == AT else like_expert(now)


@cache
def case() -> StagedRows:
    """Two tasks, each lost from scratch and from step AT on, with all that the stages make of them."""
    return staged_rows(demonstrated(2), Toy(absent_minded), CONFIG)


def found(method: str, records: Sequence[Record] | None = None, **preferences: Any) -> PairSet:
    settings = config(
        rewards={"mode": "fixed", "rollouts": N},
        training={"method": method, "preferences": preferences},
    )
    return assemble_pairs(case().records if records is None else records, settings)


def spans(row: PreferencePairRecord) -> tuple[Any, ...]:
    return (
        (row.chosen_trajectory_id, row.chosen_from, row.chosen_to),
        (row.rejected_trajectory_id, row.rejected_from, row.rejected_to),
    )


def whole(run: StoredTrajectory, start: int = 0) -> tuple[str, int, int]:
    return run.id, start, len(run.trajectory.steps)


def test_the_case_is_what_it_says() -> None:
    now = case()
    for demo in now.demos:
        assert sorted(explorations(now.played)[demo.task.task_id]) == [0, AT]
        assert not any(now.run(demo, j).record.success for j in (0, AT))
    deviated = [row for row in now.verdicts if row.verdict == "deviated"]
    assert [(row.step_index, row.reference_reward, row.explored_reward) for row in deviated] == [
        (AT, 1, 0)
    ] * 2


def test_eto_prefers_whole_runs_by_their_outcome() -> None:
    now = case()
    rows = found("eto", now.played).rows  # no reward is needed
    assert [spans(row) for row in rows] == [(whole(d.expert), whole(now.run(d, 0))) for d in now.demos]
    assert {(row.kind, row.margin, row.deviation_id) for row in rows} == {("outcome", 1.0, None)}


def test_eto_counts_ties() -> None:
    rows = list(demonstrated(2))
    rows += explore(world(), Toy(like_expert), rows, CONFIG)
    ties = found("eto", rows)
    assert (ties.rows, ties.without) == ([], {pairs.TIE: 2})
    assert str(ties) == "0 preference pairs; 2 ties"


def test_ipr_adds_suffixes_by_step_rewards() -> None:
    now = case()
    rows = found("ipr").rows
    assert [spans(row) for row in rows] == [
        (whole(demo.expert, j), whole(now.run(demo, j), j)) for demo in now.demos for j in (0, AT)
    ]
    assert [(row.kind, row.chosen_reward, row.rejected_reward) for row in rows] == [
        ("outcome", 1.0, 0.0),
        ("step", 1.0, 0.0),
    ] * 2
    compared = {row.deviation_id: row for row in now.verdicts}
    for row in rows[1::2]:
        assert row.deviation_id
        assert compared[row.deviation_id].step_index == AT


def test_ipr_needs_all_rollouts_of_both_turns() -> None:
    fewer = [row for row in case().records if not (isinstance(row, RolloutRecord) and row.sample_index)]
    cut = found("ipr", fewer)
    assert {row.kind for row in cut.rows} == {"outcome"}
    assert cut.without == {pairs.TOO_FEW: 2}


def test_ipr_scores_only_turns_that_could_make_a_pair(tmp_path: Path) -> None:
    """Paper: the failed runs. Release: also a shorter one that succeeded."""
    now = case()
    ipr = config(
        environment={"step_cap": 16},
        rewards={"mode": "fixed", "rollouts": N},
        training={"method": "ipr"},
    )
    rows = score_for_ipr(world(), Toy(absent_minded), now.played, ipr)
    scored = {(row.trajectory_id, row.step_index) for row in of_type(rows, ScoredTurnRecord)}
    assert scored == {(run.id, AT) for demo in now.demos for run in (demo.expert, now.run(demo, AT))}
    ended = [row for row in of_type(rows, ScoredTurnRecord) if row.outcome is not None]
    assert len(of_type(rows, RolloutRecord)) == (4 - len(ended)) * N
    assert len(ended) == 1  # the expert's last turn

    won = [
        row.model_copy(update={"outcome": 1.0, "success": True})
        if row in {run.record for run in runs_of(now.played, "explored")}
        else row
        for row in now.played
    ]
    assert score_for_ipr(world(), Toy(absent_minded), won, ipr) == []


def test_ipr_shares_its_rollouts_with_other_methods(tmp_path: Path) -> None:
    now, first, second = case(), Toy(absent_minded), Toy(absent_minded)
    score(world(), first, now.played, CONFIG, pool=RolloutPool(tmp_path, "toy"))
    ipr = config(
        environment={"step_cap": 16},
        rewards={"mode": "fixed", "rollouts": N},
        training={"method": "ipr"},
    )
    rows = score_for_ipr(world(), second, now.played, ipr, pool=RolloutPool(tmp_path, "toy"))
    assert first.asked
    assert second.asked == []
    mine, theirs = ({r.rollout_id for r in of_type(of, RolloutRecord)} for of in (rows, now.scores))
    assert mine < theirs


def test_rollouts_of_older_versions_are_used_as_they_are(tmp_path: Path) -> None:
    """They have no first turn. None is played again, and their ids stay."""
    now, toy, pool = case(), Toy(absent_minded), RolloutPool(tmp_path, "toy")
    old = [row.model_copy(update={"first_turn": None}) for row in of_type(now.scores, RolloutRecord)]
    tasks = {row.step_reward_id: row.task_id for row in of_type(now.scores, ScoredTurnRecord)}
    for row in old:
        pool.add(tasks[row.step_reward_id], [row])
    rows = score(world(), toy, now.played, CONFIG, pool=pool)
    assert toy.asked == []
    assert of_type(rows, RolloutRecord) == old


def test_step_dpo_prefers_the_turn_of_a_successful_rollout() -> None:
    now = case()
    rows = found("step_dpo").rows
    assert [spans(row) for row in rows] == [
        ((demo.expert.id, AT, AT + 1), (now.run(demo, AT).id, AT, AT + 1)) for demo in now.demos
    ]
    turns = {row.rollout_id: row for row in of_type(now.scores, RolloutRecord)}
    deviated = {row.deviation_id: row for row in now.verdicts}
    for row in rows:
        assert row.chosen_rollout_id
        assert row.deviation_id
        turn, compared = turns[row.chosen_rollout_id], deviated[row.deviation_id]
        assert turn.step_reward_id == compared.reference_step_reward_id
        assert (turn.sample_index, turn.outcome, row.kind) == (0, 1.0, "step")
        assert turn.actions[0] != compared.explored_action


def test_step_dpo_prefers_the_experts_turn_on_request() -> None:
    rows = found("step_dpo", chosen="expert").rows
    assert [row.chosen_rollout_id for row in rows] == [None, None]
    assert [spans(row) for row in rows] == [spans(row) for row in found("step_dpo").rows]


def test_step_dpo_leaves_out_turns_without_text_and_without_success() -> None:
    old = [
        r.model_copy(update={"first_turn": None}) if isinstance(r, RolloutRecord) else r
        for r in case().records
    ]
    assert (found("step_dpo", old).rows, found("step_dpo", old).without) == ([], {pairs.NO_TEXT: 2})
    assert len(found("step_dpo", old, chosen="expert").rows) == 2
    lost = [
        r.model_copy(update={"outcome": 0.0}) if isinstance(r, RolloutRecord) else r for r in case().records
    ]
    assert (found("step_dpo", lost).rows, found("step_dpo", lost).without) == ([], {pairs.NO_TURN: 2})
    assert why_none(found("step_dpo", lost), "step_dpo") == (
        f"2 {pairs.NO_TURN}; training.preferences.chosen=expert would need none"
    )


def test_where_nothing_could_make_a_pair_the_reason_says_what_is_missing() -> None:
    assert why_none(PairSet(), "step_dpo") == "no turn is deviated by the rule in deviation.preset"
    assert why_none(PairSet(), "dpo").startswith("the sets that are on of D_c (datasets.calibrated) and D_s")
    ties = PairSet()
    ties.without[pairs.TIE] = 3
    assert why_none(ties, "eto") == "3 ties"


def test_dpo_prefers_targets_to_contrasts() -> None:
    now = case()
    rows = found("dpo").rows
    kept = [row for row in of_type(now.repairs, CalibrationRecord) if row.kept]
    repaired = {run.id: run for run in runs_of(now.records, "calibrated")}
    assert len(kept) == 2
    of_repairs = {
        (whole(repaired[row.trajectory_id], AT + 1), whole(now.run(demo, AT), AT + 1))
        for row, demo in zip(kept, now.demos, strict=True)
    }
    of_suffixes = {(whole(demo.expert, j), whole(now.run(demo, j), j)) for demo in now.demos for j in (0, AT)}
    assert {spans(row) for row in rows} == of_repairs | of_suffixes
    assert {(row.kind, row.rejected_from == 0) for row in rows} == {("outcome", True), ("step", False)}


def inputs(method: str, **preferences: Any) -> list[tuple[PreferencePairRecord, PreferencePair]]:
    rows = found(method, **preferences).rows
    return list(zip(rows, pair_inputs(world(), rows, case().records, "plain"), strict=True))


@pytest.mark.parametrize("method", ["eto", "ipr", "step_dpo", "dpo"])
def test_both_sides_have_one_prompt_and_end_with_the_agent(method: str) -> None:
    for row, pair in inputs(method):
        prompts = []
        for side in (pair.chosen, pair.rejected):
            first = side.targets.index(True)
            assert all(side.targets[first:])
            assert len(side.messages) == 2 * len(side.targets)
            assert side.messages[-1]["role"] == "assistant"
            prompts.append(side.messages[: 2 * first + 1])
        assert prompts[0] == prompts[1]
        assert prompts[0][-1]["role"] == "user"
        assert len(prompts[0]) == 2 * row.chosen_from + 1
        assert pair.chosen.messages != pair.rejected.messages
        assert pair.name == row.pair_id


def test_a_turn_of_a_rollout_is_what_it_wrote() -> None:
    texts = {row.rollout_id: row.first_turn for row in of_type(case().scores, RolloutRecord)}
    for row, pair in inputs("step_dpo"):
        assert pair.chosen.messages[-1]["content"] == texts[row.chosen_rollout_id or ""]
        assert pair.rejected.messages[-1]["content"] == LOOK
        assert sum(pair.chosen.targets) == sum(pair.rejected.targets) == 1


def test_the_id_of_a_pair_is_its_content() -> None:
    rows = [*found("ipr").rows, *found("eto").rows, *found("dpo").rows]
    assert len({row.pair_id for row in rows}) == len(rows)
    assert found("ipr").rows == found("ipr").rows
