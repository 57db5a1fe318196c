"""Verdicts under another rule in SQL: the same as those of `steca.deviation`, for every preset and threshold."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from steca.deviation import PRESETS, Candidate, Rule, Verdict, judge, prefilter, preset, select
from steca.rewards import Tally
from storage.faults import StorageFault
from storage.records import DeviationRecord
from storage.shards import ShardStore
from storage.store import Store
from tests.store_rows import Side, deviation, record_run, tally

DELTAS = (-0.25, -0.01, 0.0, 0.05, 0.1, 0.2, 0.6)
ACTIONS = ("look", " look\t", "go to  shelf 1", "go\u00a0to shelf\n1", "go to shelf 10", "", " \u2003")
ROUNDS = 2
NEW = "deviation_id, new_verdict, new_rule, new_selected"


def random_side(draw: random.Random, name: str) -> Side | None:
    n = draw.choice((None, 0, 1, 5, 8, 24))
    if n is None:
        return None
    return (name, float(draw.random() < 0.5), 0) if n == 0 else (name, draw.randint(0, n) / n, n)


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
            preset=draw.choice(list(PRESETS)),
            delta=draw.choice(DELTAS),
        )
        for task in range(tasks)
        for step in draw.sample(range(7), 4)
    ]


ROWS = random_rows(0, 400)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Run `one` holds the random rows; run `twice` too, in two rounds."""
    root = tmp_path_factory.mktemp("store")
    ref = ShardStore(root).write_batch("rewards-1", "b0", ROWS)
    record_run(root, "one", ref)
    for round in range(ROUNDS):
        record_run(root, "twice", ref, round=round + 1)
    store = Store(root)
    store.ingest()
    return store


def side(row: DeviationRecord, name: str) -> Tally | None:
    reward, n = getattr(row, f"{name}_reward"), getattr(row, f"{name}_n")
    return None if reward is None else tally((name, reward, n))


def verdict(row: DeviationRecord, seen: Candidate, rule: Rule) -> Verdict:
    """As the stage rewards decides: without rewards on both sides, a candidate that needs them is left out."""
    reference, explored = side(row, "reference"), side(row, "explored")
    if rule.needs_rewards and prefilter(seen, rule) is None and (reference is None or explored is None):
        return Verdict("filtered", rule.name, "no rollouts", rule.delta)
    return judge(seen, rule, reference, explored)


def expected(rows: list[DeviationRecord], rule: Rule) -> set[tuple[str, str, str, bool]]:
    """What NEW should be for each row, by the method's own functions."""
    judged = []
    for row in rows:
        fields = {name: getattr(row, name) for name in ("task_id", "expert_action", "explored_action")}
        seen = Candidate(
            **fields,
            step=row.step_index,
            explored_success=bool(row.explored_success),
            similarity=row.similarity or 0.0,
            continues=bool(row.continues),
        )
        judged.append((row, seen, verdict(row, seen, rule)))
    chosen = {(found.task_id, found.step) for found in select([pair[1:] for pair in judged], rule)}
    return {
        (row.deviation_id, made.verdict, made.rule, (row.task_id, row.step_index) in chosen)
        for row, _, made in judged
    }


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("delta", DELTAS)
def test_every_preset_and_threshold_decides_as_the_method_does(store: Store, name: str, delta: float) -> None:
    asked = "FROM what_if('one', preset := ?, delta := ?, smallest_drop := ?)"
    for smallest_drop in (0.2, 0.5):
        rows = store.query(f"SELECT {NEW} {asked}", [name, delta, smallest_drop])[1]
        assert len(rows) == len(ROWS)
        assert set(rows) == expected(ROWS, preset(name, delta, smallest_drop=smallest_drop))


def test_the_random_rows_meet_every_verdict_and_reason(store: Store) -> None:
    """Else the test above would hold of less than it says."""
    met = {
        (name, row[1], row[2])
        for name in PRESETS
        for row in store.query(f"SELECT {NEW} FROM what_if('one', preset := ?, delta := 0.1)", [name])[1]
    }
    filters = {"run succeeded", "step too early", "equal action"}
    assert {rule for name, _, rule in met if name == "release"} == filters | {
        "too similar", "no continuation", "no rollouts", "gap <= delta", "not gap <= delta",
    }  # fmt: skip
    assert {rule for name, _, rule in met if name == "sequential"} == filters | {
        "no rollouts", "a drop is proven", "no drop that matters", "the rollouts prove neither",
    }  # fmt: skip
    assert {rule for name, _, rule in met if name == "first_failure"} == filters | {"differs in a failed run"}


def test_a_wrong_rule_would_be_noticed(store: Store) -> None:
    """Thresholds, presets and drops that differ from what SQL was asked give other verdicts."""
    right = set(store.query(f"SELECT {NEW} FROM what_if('one', preset := 'paper', delta := 0.1)")[1])
    for rule in (preset("paper", 0.0), preset("release", 0.1), preset("first_failure", 0.1)):
        assert expected(ROWS, rule) != right
    right = set(store.query(f"SELECT {NEW} FROM what_if('one', preset := 'sequential', delta := 0.1)")[1])
    assert expected(ROWS, preset("sequential", 0.1, smallest_drop=0.6)) != right


def test_what_is_not_given_stays_as_it_was_stored(store: Store) -> None:
    rows = store.query(
        "SELECT deviation_id, new_preset, new_delta, new_verdict, new_rule FROM what_if('one')"
    )[1]
    for row in rows:
        stored = next(found for found in ROWS if found.deviation_id == row[0])
        assert row[1:3] == (stored.preset, stored.delta)
        rule = preset(stored.preset, stored.delta)
        assert row[:1] + row[3:] in {made[:3] for made in expected([stored], rule)}


def test_the_first_of_a_task_is_the_first_of_its_round(store: Store) -> None:
    sql = "SELECT round, count_if(new_selected) FROM what_if('twice', preset := 'paper') GROUP BY ALL ORDER BY 1"
    rows = store.query(sql)[1]
    assert [round for round, _ in rows] == [1, 2]
    assert rows[0][1] == rows[1][1] > 0


def test_another_error_rate_decides_nothing(store: Store) -> None:
    """The stored interval was made at .05; it says nothing at .01."""
    sql = "SELECT DISTINCT new_verdict, new_rule FROM what_if('one', preset := 'sequential', error_rate := 0.01)"
    rules = store.query(sql)[1]
    assert ("undecided", "another error rate") in rules
    assert not {verdict for verdict, _ in rules} & {"deviated", "not_deviated"}
    same = sql.replace("0.01", "0.05")
    assert ("undecided", "another error rate") not in store.query(same)[1]


def test_any_relation_of_comparisons_may_be_asked(store: Store) -> None:
    """Here: what if nothing had succeeded?"""
    sql = """WITH failed AS (SELECT * REPLACE (false AS explored_success) FROM step_reward_gaps)
             SELECT count(*) FROM what_if('one', preset := 'paper', comparisons := 'failed')
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
        store.query("FROM what_if('one', preset := 'papr')")


def test_the_presets_are_the_methods(store: Store) -> None:
    columns, rows = store.query("FROM deviation_presets")
    stored = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [Rule(**{"name": row.pop("preset"), **row}) for row in stored] == list(PRESETS.values())


def test_words_are_pythons(store: Store) -> None:
    spaces = [chr(code) for code in range(1, sys.maxunicode) if chr(code).isspace()]
    texts = ["", " ", "a", *(f"{space}a{space}{space}b {space}" for space in spaces), "a\u200bb"]
    rows = store.query("SELECT words(unnest($texts))", {"texts": texts})[1]
    assert [row[0] for row in rows] == [" ".join(text.split()) for text in texts]
