"""Verdicts under another rule in SQL: the same as those of `steca.deviation`, for every preset and threshold."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, groupby, product
from pathlib import Path
from typing import Any

import pytest

from flows.what_if import OtherRule, WhatIf
from steca.deviation import PRESETS, Candidate, Rule, Verdict, judge, prefilter, preset, select, worth_scoring
from steca.rewards import Tally
from steca.stopping import verdict_so_far
from storage.faults import StorageFault
from storage.records import DeviationRecord
from storage.shards import ShardStore
from storage.store import Store
from tests.support.store_rows import Side, deviation, record_run, rollouts

DELTAS = (-0.25, -0.01, 0.0, 0.05, 0.1, 0.2, 0.6)
DROPS = (0.2, 0.5)
"""Smallest drops, which only rules by evidence look at."""
ACTIONS = ("look", " look\t", "go to  shelf 1", "go\u00a0to shelf\n1", "go to shelf 10", "", " \u2003")
ROUNDS = 2
NEW = "deviation_id, new_verdict, new_rule, new_selected"
IN_SQL = [name for name, rule in PRESETS.items() if rule.test not in ("posterior", "judge")]
"""The presets that SQL decides by itself, from rollouts."""


OUTCOMES: dict[str, list[float]] = {}
"""Of every scored turn that was rolled out, in order."""


def random_side(draw: random.Random, name: str) -> Side | None:
    n = draw.choice((None, 0, 1, 5, 8, 24, 24))
    if n is None:
        return None
    if n == 0:
        return name, float(draw.random() < 0.5), 0
    value = draw.random()
    OUTCOMES[name] = [float(draw.random() < value) for _ in range(n)]
    return name, sum(OUTCOMES[name]) / n, n


def random_rows(seed: int, tasks: int) -> list[DeviationRecord]:
    draw = random.Random(seed)
    return [
        deviation(
            f"{task}-{step}",
            "filtered",
            random_side(draw, f"reference {task}-{step}"),
            random_side(draw, f"explored {task}-{step}"),
            task_id=f"task {task}",
            step_index=step,
            expert_action=draw.choice(ACTIONS),
            explored_action=draw.choice(ACTIONS),
            explored_success=draw.random() < 0.2,
            similarity=draw.choice((0.0, 0.5, 0.9499999, 0.95, 1.0)),
            continues=draw.random() < 0.8,
            preset=draw.choice(IN_SQL),
            delta=draw.choice(DELTAS),
        )
        for task in range(tasks)
        for step in draw.sample(range(7), 4)
    ]


ROWS = random_rows(0, 200)
SETTINGS: dict[str, dict[str, Any]] = {
    "many": {"mode": "fixed", "rollouts": 24, "candidates": None},
    "few": {"mode": "fixed", "rollouts": 5, "candidates": None},
    "limited": {"mode": "fixed", "rollouts": 8, "candidates": 2},
    "ordered": {"mode": "curtailed", "rollouts": 8, "candidates": 3},
}
"""rewards of each run; all hold the same rows."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A run for each of the settings, and `twice` with the rows in two rounds. Tests only read it."""
    root = tmp_path_factory.mktemp("store")
    evidence = [row for name, outcomes in OUTCOMES.items() for row in rollouts(name, outcomes)]
    ref = ShardStore(root).write_batch("rewards-1", "b0", [*ROWS, *evidence])
    for run, settings in SETTINGS.items():
        record_run(root, run, ref, rewards=settings)
    for round in range(ROUNDS):
        record_run(root, "twice", ref, round=round + 1)
    store = Store(root)
    store.ingest()
    with store.opened():
        yield store


def side(row: DeviationRecord, name: str, rule: Rule, wanted: int) -> Tally:
    """What the rule looks at: all outcomes for evidence, the first `wanted` for means."""
    reward, n = getattr(row, f"{name}_reward"), getattr(row, f"{name}_n")
    if not n:
        return Tally(known=reward)
    outcomes = OUTCOMES[f"{name} {row.deviation_id}"]
    return Tally.of(outcomes if rule.test == "evidence" else outcomes[:wanted])


def seen(row: DeviationRecord) -> Candidate:
    return Candidate(
        row.task_id,
        row.step_index,
        row.expert_action,
        row.explored_action,
        bool(row.explored_success),
        row.similarity or 0.0,
        bool(row.continues),
    )


def verdicts(rows: list[DeviationRecord], rule: Rule, rewards: dict[str, Any]) -> list[Verdict]:
    """As the stage rewards decides, of the rows of one task in order."""
    ended, rank, found = False, 0, []
    for row in rows:
        candidate = seen(row)
        limited = rewards["candidates"] is not None and rank >= rewards["candidates"]
        rank += worth_scoring(candidate)
        if not rule.needs_rewards or prefilter(candidate, rule):
            found.append(judge(candidate, rule))
        elif limited:
            found.append(Verdict("filtered", rule.name, "beyond rewards.candidates", rule.delta))
        elif ended and rewards["mode"] != "fixed":
            found.append(Verdict("filtered", rule.name, "after the first deviation", rule.delta))
        else:
            sides = [side(row, name, rule, rewards["rollouts"]) for name in ("reference", "explored")]
            verdict = verdict_so_far(*sides, rule, rewards["rollouts"])
            if verdict.verdict == "undecided" and all(tally.empty for tally in sides):
                verdict = replace(verdict, rule="no rollouts")
            ended = ended or (rule.first_only and verdict.verdict == "deviated")
            found.append(verdict)
    return found


def expected(
    rows: list[DeviationRecord], rule: Rule, rewards: dict[str, Any]
) -> set[tuple[str, str, str, bool]]:
    """What NEW should be for each row, by the method's own functions."""
    ordered = sorted(rows, key=lambda row: (row.task_id, row.step_index))
    made = [
        pair
        for _, of_task in groupby(ordered, key=lambda row: row.task_id)
        for pair in (lambda group: zip(group, verdicts(group, rule, rewards), strict=True))(list(of_task))
    ]
    chosen = set(select([(seen(row), verdict) for row, verdict in made], rule))
    return {(row.deviation_id, verdict.verdict, verdict.rule, seen(row) in chosen) for row, verdict in made}


@pytest.mark.parametrize("run", SETTINGS)
@pytest.mark.parametrize("name", IN_SQL)
def test_every_preset_and_threshold_decides_as_the_method_does(store: Store, name: str, run: str) -> None:
    """Each threshold is asked of two of the four runs: the plan of a query takes most of the time."""
    asked = f"FROM what_if('{run}', preset := ?, delta := ?, smallest_drop := ?)"
    deltas = DELTAS[list(SETTINGS).index(run) % 2 :: 2]
    thresholds = product(deltas, DROPS) if PRESETS[name].test == "evidence" else zip(deltas, cycle(DROPS))
    for delta, smallest_drop in thresholds:
        rows = store.query(f"SELECT {NEW} {asked}", [name, delta, smallest_drop])[1]
        assert len(rows) == len(ROWS)
        rule = preset(name, delta, smallest_drop=smallest_drop)
        assert set(rows) == expected(ROWS, rule, SETTINGS[run])


@pytest.mark.parametrize("run", SETTINGS)
@pytest.mark.parametrize("probability", [0.2, 0.5, 0.9])
def test_the_command_decides_by_probability_as_the_method_does(
    store: Store, probability: float, run: str
) -> None:
    """P(drop) is computed by the command; everything else, filters and order, is the macro's."""
    for delta in DELTAS[::2]:
        found = WhatIf(store, run, OtherRule("probable", delta, probability=probability))
        rule = preset("probable", delta, probability=probability)
        assert set(found.ask(f"SELECT {NEW} FROM considered")[1]) == expected(ROWS, rule, SETTINGS[run])


def test_sql_alone_does_not_know_the_probability_of_a_drop(store: Store) -> None:
    """The rows have the verdicts that were stored, under presets and thresholds of their own."""
    sql = (
        "SELECT DISTINCT new_verdict, new_rule FROM what_if('few', preset := 'probable', probability := 0.7)"
    )
    rules = set(store.query(sql)[1])
    assert ("undecided", "P(drop) is not known") in rules
    assert not {verdict for verdict, _ in rules} & {"deviated", "not_deviated"}


def test_sql_alone_keeps_the_verdicts_of_a_run_by_probability(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"preset": "probable", "rule": "P(drop) > p"}
    rows = [
        deviation("a", "deviated", ("r1", 0.8, 5), ("x1", 0.2, 5), task_id="1", **fields),
        deviation("b", "not_deviated", ("r2", 0.2, 5), ("x2", 0.8, 5), task_id="2", **fields),
    ]
    ref = ShardStore(tmp_path).write_batch("rewards-1", "b0", rows)
    record_run(tmp_path, "one", ref, rewards={"mode": "fixed", "rollouts": 5}, deviation={"probability": 0.5})
    store = Store(tmp_path)
    store.ingest()
    sql = "SELECT deviation_id, new_verdict, new_rule FROM what_if('one'{}) ORDER BY 1"
    assert store.query(sql.format(""))[1] == [
        ("a", "deviated", "P(drop) > p"),
        ("b", "not_deviated", "not P(drop) > p"),
    ]
    for other in (", probability := 0.6", ", delta := 0.1", ", rollouts := 4"):
        assert {row[1] for row in store.query(sql.format(other))[1]} == {"undecided"}


def test_the_random_rows_meet_every_verdict_and_reason(store: Store) -> None:
    """Else the test above would hold of less than it says."""

    def met(run: str, name: str) -> set[str]:
        asked = f"FROM what_if('{run}', preset := ?, delta := 0.1)"
        return {row[0] for row in store.query(f"SELECT DISTINCT new_rule {asked}", [name])[1]}

    filters = {"run succeeded", "step too early", "equal action"}
    means = {"no rollouts", "too few rollouts"}
    assert met("few", "release") == filters | means | {
        "too similar", "no continuation", "gap <= delta", "not gap <= delta",
    }  # fmt: skip
    assert met("many", "sequential") == filters | {
        "no rollouts", "a drop is proven", "no drop that matters", "the rollouts prove neither",
    }  # fmt: skip
    assert met("many", "first_failure") == filters | {"differs in a failed run"}
    compared = filters | means | {"gap < delta", "not gap < delta", "beyond rewards.candidates"}
    assert met("limited", "paper") == compared
    assert met("ordered", "paper") == compared | {"after the first deviation"}


def test_a_wrong_rule_would_be_noticed(store: Store) -> None:
    """Thresholds, presets, drops and numbers of rollouts that differ from what SQL was asked give other verdicts."""
    right = set(store.query(f"SELECT {NEW} FROM what_if('few', preset := 'paper', delta := 0.1)")[1])
    assert expected(ROWS, preset("paper", 0.1), SETTINGS["few"]) == right
    for rule in (preset("paper", 0.0), preset("release", 0.1), preset("first_failure", 0.1)):
        assert expected(ROWS, rule, SETTINGS["few"]) != right
    for run in ("many", "limited", "ordered"):
        assert expected(ROWS, preset("paper", 0.1), SETTINGS[run]) != right
    right = set(store.query(f"SELECT {NEW} FROM what_if('few', preset := 'sequential', delta := 0.1)")[1])
    assert expected(ROWS, preset("sequential", 0.1, smallest_drop=0.6), SETTINGS["few"]) != right


def test_another_number_of_rollouts_may_be_asked_for(store: Store) -> None:
    sql = f"SELECT {NEW} FROM what_if('many', preset := 'paper', rollouts := 5)"
    assert set(store.query(sql)[1]) == set(store.query(sql.replace("many", "few"))[1])
    assert set(store.query(sql)[1]) != set(store.query(sql.replace("5", "24"))[1])


def test_what_is_not_given_stays_as_it_was_stored(store: Store) -> None:
    stored = {row.deviation_id: row for row in ROWS}
    for row in store.query(
        "SELECT deviation_id, new_preset, new_delta, new_verdict, new_rule FROM what_if('few')"
    )[1]:
        found = stored[row[0]]
        assert row[1:3] == (found.preset, found.delta)
        (made,) = expected([found], preset(found.preset, found.delta), SETTINGS["few"])
        assert row[3:] == made[1:3]


def test_the_first_of_a_task_is_the_first_of_its_round(store: Store) -> None:
    sql = "SELECT round, count_if(new_selected) FROM what_if('twice', preset := 'paper') GROUP BY ALL ORDER BY 1"
    rows = store.query(sql)[1]
    assert [round for round, _ in rows] == [1, 2]
    assert rows[0][1] == rows[1][1] > 0


def test_a_stricter_error_rate_decides_nothing(store: Store) -> None:
    """The stored interval was made at .05; it says nothing at .01."""
    sql = "SELECT DISTINCT new_verdict, new_rule FROM what_if('few', preset := 'sequential', error_rate := 0.01)"
    rules = store.query(sql)[1]
    assert ("undecided", "another error rate") in rules
    assert not {verdict for verdict, _ in rules} & {"deviated", "not_deviated"}
    same = sql.replace("0.01", "0.05")
    assert ("undecided", "another error rate") not in store.query(same)[1]


@pytest.mark.parametrize("delta", DELTAS)
def test_a_looser_error_rate_keeps_what_is_proven_and_decides_no_more(store: Store, delta: float) -> None:
    """Against the stored verdicts, and against the method at the looser rate: no proof is lost and none made up."""
    sql = (
        "SELECT deviation_id, new_verdict, new_rule FROM what_if('few', preset := 'sequential', delta := ?{})"
    )
    stored = {row[0]: row[1:] for row in store.query(sql.format(""), [delta])[1]}
    loose = {row[0]: row[1:] for row in store.query(sql.format(", error_rate := 0.2"), [delta])[1]}
    rule = replace(preset("sequential", delta), error_rate=0.2)
    made = {row[0]: row[1] for row in expected(ROWS, rule, SETTINGS["few"])}
    for identity, verdict in stored.items():
        open_now = verdict == ("undecided", "the rollouts prove neither")
        assert loose[identity] == (("undecided", "another error rate") if open_now else verdict)
    for identity, (verdict, _) in loose.items():
        proven_at_both = {"not_deviated": {"not_deviated", "deviated"}}.get(verdict, {verdict})
        assert verdict == "undecided" or made[identity] in proven_at_both
    assert {"deviated", "not_deviated"} <= {verdict for verdict, _ in loose.values()}
    assert any(verdict == "undecided" != made[identity] for identity, (verdict, _) in loose.items())


@pytest.mark.parametrize("error_rate", [0.01, 0.05, 0.2])
def test_the_command_decides_at_any_error_rate_as_the_method_does(store: Store, error_rate: float) -> None:
    rule = replace(preset("sequential", 0.1), error_rate=error_rate)
    found = WhatIf(store, "few", OtherRule("sequential", 0.1, error_rate))
    assert set(found.ask(f"SELECT {NEW} FROM considered")[1]) == expected(ROWS, rule, SETTINGS["few"])


def test_any_relation_of_comparisons_may_be_asked(store: Store) -> None:
    """Here: what if nothing had succeeded?"""
    sql = """WITH failed AS (SELECT * REPLACE (false AS explored_success) FROM step_reward_gaps)
             SELECT count(*) FROM what_if('few', preset := 'paper', comparisons := 'failed')
             WHERE new_rule = 'run succeeded'"""
    assert store.query(sql)[1] == [(0,)]


def test_rows_of_an_older_version_have_no_verdict(tmp_path: Path) -> None:
    sides = ("before", 0.8, 5), ("after", 0.2, 5)
    old = deviation("old", "deviated", *sides, explored_success=None, similarity=None, continues=None)
    record_run(tmp_path, "one", ShardStore(tmp_path).write_batch("rewards-1", "b0", [old]))
    store = Store(tmp_path)
    store.ingest()
    assert store.query(f"SELECT {NEW} FROM what_if('one')")[1] == [
        ("old", None, "stored by an older version", None)
    ]


def test_an_unknown_preset_names_the_known_ones(store: Store) -> None:
    with pytest.raises(StorageFault, match="no deviation preset is called papr; known: paper, sequential"):
        store.query("FROM what_if('few', preset := 'papr')")


def test_the_presets_are_the_methods(store: Store) -> None:
    columns, rows = store.query("FROM deviation_presets")
    stored = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [Rule(**{"name": row.pop("preset"), **row}) for row in stored] == list(PRESETS.values())


def test_words_are_pythons(store: Store) -> None:
    spaces = [chr(code) for code in range(1, sys.maxunicode) if chr(code).isspace()]
    texts = ["", " ", "a", *(f"{space}a{space}{space}b {space}" for space in spaces), "a\u200bb"]
    rows = store.query("SELECT words(unnest($texts))", {"texts": texts})[1]
    assert [row[0] for row in rows] == [" ".join(text.split()) for text in texts]
