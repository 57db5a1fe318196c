"""`steca what-if`: what it prints is what the macro what_if says, and what the method would decide anew."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from configs.faults import ConfigFault
from configs.load import load_config
from flows.what_if import OtherRule, WhatIf
from steca.deviation import preset
from storage.faults import StorageFault
from storage.ids import content_id
from storage.records import RolloutRecord
from storage.runs import RunFolder
from storage.shards import ShardStore
from storage.store import Store
from tests.support.judged_run import judged_run
from tests.support.store_rows import deviation, record_run
from tests.support.tiny_factory import ROOT

SEEN = "task_id, step_index, verdict, rule, selected, expert_is_better"
NEW = "task_id, step_index, new_verdict, new_rule, new_selected"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The same tasks and rollouts under four rules: whatever one run would become under another is stored. Tests only
    read it."""
    root = tmp_path_factory.mktemp("judged")
    judged_run(root, "release", preset("release", 0.1), "curtailed")
    judged_run(root, "paper", preset("paper"), "curtailed")
    judged_run(root, "lower", preset("sequential", -0.2), "sequential")
    judged_run(root, "fixed", preset("release", 0.1))
    store = judged_run(root, "sequential", preset("sequential"), "sequential")
    with store.opened():
        yield store


def what_if(store: Store, *arguments: object) -> Result:
    data = ("--data-dir", store.root)
    return CliRunner().invoke(app, ["what-if", *map(str, (*data, *arguments))], env={"COLUMNS": "110"})


def test_judgements_that_are_not_stored_are_named(store: Store) -> None:
    said = " ".join(what_if(store, "--run", "fixed", "--preset", "judge").stdout.split())
    assert "comparisons were not judged by a language model: the new rule cannot decide them." in said
    assert "A run with judge.ask=always and judge.model stores the judgements." in said
    assert "have too few rollouts" not in said
    assert "were not judged" not in what_if(store, "--run", "fixed", "--preset", "paper").stdout


def refused(store: Store, code: int, *arguments: object) -> str:
    result = what_if(store, *arguments)
    assert result.exit_code == code, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_nothing_heavy_is_loaded(store: Store) -> None:
    code = (
        f"import sys; sys.argv = ['steca', 'what-if', '--data-dir', {str(store.root)!r}]\n"
        "from cli.main import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'prefect'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("run", "name", "delta"), [("paper", "paper", 0.0), ("release", "release", 0.1)])
def test_a_run_decided_by_another_rule_is_foretold(store: Store, run: str, name: str, delta: float) -> None:
    """The comparisons of `sequential` under the other rule are those of the run that had it."""
    foretold = f"SELECT {NEW} FROM what_if('sequential', preset := ?, delta := ?) ORDER BY ALL"
    made = f"SELECT task_id, step_index, verdict, rule, selected FROM step_reward_gaps WHERE run_id = '{run}'"
    rows = [as_decided(row) for row in store.query(foretold, [name, delta])[1]]
    assert rows == [as_decided(row) for row in store.query(f"{made} ORDER BY ALL")[1]]
    assert any(row[-1] for row in rows)
    (other,) = {"paper", "release"} - {run}
    assert rows != store.query(f"{made.replace(run, other)} ORDER BY ALL")[1]


@pytest.mark.parametrize("run", ["release", "paper", "lower", "fixed", "sequential"])
def test_the_rule_of_the_run_changes_nothing(store: Store, run: str) -> None:
    sql = "SELECT verdict, rule, selected, new_verdict, new_rule, new_selected FROM what_if(?)"
    for row in store.query(sql, [run])[1]:
        assert as_decided(row)[:3] == as_decided(row)[3:]


OPEN = ("no rollouts", "too few rollouts", "the rollouts prove neither")


def as_decided(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The stage rewards has no word of its own for what was never rolled out; it is just not decided."""
    return tuple("open" if part in OPEN else part for part in row)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"preset": "release", "delta": 0.1},
        {"preset": "every_failure"},
        {"delta": -0.2},
        {"smallest_drop": 0.6},
    ],
)
def test_the_command_says_what_the_macro_says(store: Store, options: dict[str, object]) -> None:
    arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}={value}",)]
    printed = json.loads(what_if(store, "--run", "sequential", "--format", "json", *arguments).stdout)
    asked = "".join(f", {name} := ${name}" for name in options)
    columns, rows = store.query(f"FROM what_if('sequential'{asked})", options)
    expected = [dict(zip(columns, row, strict=True)) for row in rows]
    for row in printed:
        change = row.pop("change")
        kind = {(False, True): "enters", (True, False): "leaves", (True, True): "stays"}
        assert change == kind.get((row["selected"], row["new_selected"]))
    assert sorted(printed, key=str) == sorted(expected, key=str)


def figures(said: str, what: str) -> list[str]:
    (line,) = [line for line in said.splitlines() if line.startswith(f"│ {what}")]
    return [cell.strip() for cell in line.strip("│").split("│")[1:]]


def test_the_summary_counts_what_the_macro_says(store: Store) -> None:
    said = what_if(store, "--run", "sequential", "--preset", "release", "--delta", 0.1).stdout
    sql = """SELECT count(*), count_if(selected), count_if(selected AND new_selected),
                    count_if(selected AND NOT new_selected), count_if(new_selected AND NOT selected),
                    count_if(verdict = 'deviated' AND new_verdict = 'filtered'), count_if(new_rule = 'no rollouts')
             FROM what_if('sequential', preset := 'release', delta := 0.1)"""
    ((n, now, stay, leave, enter, crossed, unscored),) = store.query(sql)[1]
    assert min(now, leave, enter, crossed, unscored) > 0
    assert f"{n} comparisons" in said
    assert figures(said, "deviations to repair") == [str(n) for n in (now, stay, leave, enter, stay + enter)]
    assert figures(said, "deviated")[3] == str(crossed)
    assert f"comparisons have too few rollouts ({unscored} have none)" in said
    assert "more rollouts would decide some" not in said
    assert "more rollouts would decide some" in what_if(store, "--delta", -0.2).stdout
    assert f"{enter} deviations enter without a repair" in said
    assert said.count("  deviation ") == min(3, leave) + min(3, enter)
    assert what_if(store, "--delta", -0.2, "--examples", 0).stdout.count("  deviation ") == 0


def test_the_examples_that_leave_are_those_of_deviations_that_leave(store: Store) -> None:
    found = WhatIf(store, "sequential", OtherRule("release", 0.1))
    calibrated, weight, lost = found.calibrated()
    sql = """SELECT count(*), sum(weight) FROM of_run('training_examples', 'sequential') WHERE deviation_id {} (
             SELECT deviation_id FROM what_if('sequential', preset := 'release', delta := 0.1) WHERE new_selected)
             AND dataset = 'calibrated'"""
    assert store.query(sql.format("IN"))[1][0][0] == calibrated.stay
    assert store.query(sql.format("NOT IN"))[1] == [(calibrated.leave, lost)]
    assert 0 < lost < weight


@pytest.mark.parametrize(
    ("run", "name", "delta"),
    [("paper", "paper", 0.0), ("release", "release", 0.1), ("lower", "sequential", -0.2)],
)
def test_the_expert_suffixes_are_foretold(store: Store, run: str, name: str, delta: float) -> None:
    """D_s asks for proof where the rule does, and for a larger mean where that is what the rule compares."""
    count = "SELECT count(*) FROM of_run('training_examples', ?) WHERE dataset = 'expert_suffix'"
    change = WhatIf(store, "sequential", OtherRule(name, delta)).suffixes()
    assert store.query(count, ["sequential"])[1] == [(change.now,)]
    assert store.query(count, [run])[1] == [(change.then,)]
    assert (change.enter > 0) == (run != "lower")


def test_a_run_decided_by_probability_is_foretold(tmp_path: Path) -> None:
    """Verdicts and D_s, from a run under another rule; and the run itself under its own rule, in Python and in SQL."""
    strict = {"preset": "probable", "delta": 0.0, "probability": 0.8}
    judged_run(tmp_path, "probable", preset("probable", probability=0.8), deviation=strict)
    store = judged_run(tmp_path, "fixed", preset("release", 0.1))
    made = store.query(
        "SELECT task_id, step_index, verdict, rule, selected FROM step_reward_gaps WHERE run_id = 'probable'"
    )[1]
    rows = sorted(as_decided(row) for row in made)
    assert {row[2] for row in rows} >= {"deviated", "not_deviated"}
    other = WhatIf(store, "fixed", OtherRule("probable", 0.0, probability=0.8))
    for found in (other, WhatIf(store, "probable", OtherRule())):
        assert sorted(as_decided(row) for row in found.ask(f"SELECT {NEW} FROM considered")[1]) == rows
    in_sql = store.query(f"SELECT {NEW} FROM what_if('probable')")[1]
    assert sorted(as_decided(row) for row in in_sql) == rows
    loose = WhatIf(store, "fixed", OtherRule("probable", 0.0, probability=0.3))
    assert sorted(as_decided(row) for row in loose.ask(f"SELECT {NEW} FROM considered")[1]) != rows
    count = (
        "SELECT count(*) FROM run_training_examples WHERE run_id = 'probable' AND dataset = 'expert_suffix'"
    )
    assert store.query(count)[1] == [(other.suffixes().then,)]
    probabilities = other.ask("SELECT drop_probability, new_verdict FROM considered WHERE gap IS NOT NULL")[1]
    assert all(
        (share > 0.8) == (verdict == "deviated") for share, verdict in probabilities if verdict != "filtered"
    )


def test_a_rule_of_its_own_for_the_suffixes_is_left_alone(tmp_path: Path) -> None:
    own = {"preset": "release", "delta": 0.1, "suffixes": "means"}
    store = judged_run(tmp_path, "own", preset("release", 0.1), deviation=own)
    change = WhatIf(store, "own", OtherRule("sequential")).suffixes()
    assert change.now == change.stay > 0
    assert change.enter == 0


def test_a_run_that_wants_no_expert_suffixes_gets_none(tmp_path: Path) -> None:
    store = judged_run(
        tmp_path, "none", preset("sequential"), "sequential", datasets={"expert_suffixes": False}
    )
    assert WhatIf(store, "none", OtherRule("paper")).suffixes().enter == 0


def test_another_error_rate_makes_the_intervals_anew(store: Store) -> None:
    strict = WhatIf(store, "sequential", OtherRule(error_rate=0.001)).matrix()
    lax = WhatIf(store, "sequential", OtherRule(error_rate=0.3)).matrix()
    assert strict["deviated", "undecided"] > 0
    assert lax["undecided", "deviated"] > 0
    assert (
        WhatIf(store, "sequential", OtherRule(error_rate=0.05)).matrix()
        == WhatIf(store, "sequential", OtherRule()).matrix()
    )


def test_what_would_have_to_run_is_a_command_that_is_accepted(store: Store, tmp_path: Path) -> None:
    """The published rules refuse the mode sequential, so the mode changes with the preset."""
    said = what_if(store, "--run", "sequential", "--preset", "release", "--delta", 0.1).stdout
    (command,) = re.findall(r"steca run --config CONFIG (.*)", said)
    assert load_config(None, re.findall(r"--set (\S+)", command)).rewards.mode == "curtailed"
    assert f"data_dir={store.root}" in command
    assert f"steca trace DEVIATION --data-dir {store.root}" in said
    with pytest.raises(ConfigFault, match=r"rewards\.mode"):
        load_config(None, ["deviation.preset=release", "rewards.mode=sequential"])


@pytest.mark.parametrize(
    ("name", "idle"),
    [
        ("sequential", {"probability"}),
        ("probable", {"error-rate", "smallest-drop"}),
        ("paper", {"error-rate", "smallest-drop", "probability"}),
        ("every_failure", {"delta", "error-rate", "smallest-drop", "probability"}),
    ],
)
def test_an_option_without_effect_is_named(store: Store, name: str, idle: set[str]) -> None:
    options = {"delta": 0.1, "error-rate": 0.1, "smallest-drop": 0.3, "probability": 0.6}
    given = [f"--{option}={value}" for option, value in options.items()]
    said = what_if(store, "--preset", name, *given).stdout
    assert set(re.findall(rf"--(\S+) has no effect on the verdicts of the rule {name}", said)) == idle
    assert "no effect" not in what_if(store, "--preset", name).stdout


def test_what_would_store_enough_is_said_where_it_was_not(store: Store) -> None:
    hint = "rewards.mode=fixed stores the rollouts for every rule"
    assert hint in what_if(store, "--run", "sequential", "--preset", "release").stdout
    assert hint not in what_if(store, "--run", "fixed", "--preset", "paper").stdout


def test_a_proof_next_to_zero_is_seen(tmp_path: Path) -> None:
    row = deviation("d", "deviated", ("before", 1.0, 1), ("after", 0.0, 9), gap_low=-1.0, gap_high=-0.0025)
    record_run(tmp_path, "one", ShardStore(tmp_path).write_batch("rewards-1", "b0", [row]))
    store = Store(tmp_path)
    store.ingest()
    said = what_if(store, "--preset", "sequential", "--delta", -0.5).stdout
    assert "(interval from the rollouts: -1.000 to -0.003)" in said
    assert "(1 rollout, " in said


def test_without_a_run_it_is_the_newest_and_says_so(store: Store) -> None:
    assert "run   sequential (the newest of 5)" in what_if(store, "--delta", 0).stdout
    assert "newest" not in what_if(store, "--run", "paper", "--delta", 0).stdout


def test_csv_has_one_row_a_comparison(store: Store) -> None:
    rows = list(csv.DictReader(io.StringIO(what_if(store, "--delta", 0.1, "--format", "csv").stdout)))
    assert (
        len(rows) == store.query("SELECT count(*) FROM step_reward_gaps WHERE run_id = 'sequential'")[1][0][0]
    )
    assert {"new_verdict", "new_rule", "new_selected", "change"} <= rows[0].keys()


def test_a_question_that_makes_no_sense_is_one_line(store: Store) -> None:
    assert "did you mean release?" in refused(store, 2, "--preset", "relaese")
    assert "known: paper, sequential" in refused(store, 2, "--preset", "xyz")
    assert "-1 to 1" in refused(store, 2, "--delta", 2)
    assert "between 0 and 1" in refused(store, 2, "--error-rate", 0)
    assert "more than 0" in refused(store, 2, "--smallest-drop", 0)


def test_a_run_that_cannot_be_asked_is_one_line(store: Store, tmp_path: Path) -> None:
    assert "no run sequentail" in refused(store, 1, "--run", "sequentail")
    assert "there are 5, e.g. sequential" in refused(store, 1, "--run", "sequentail")
    assert (empty := f"no runs in {tmp_path} yet: start one with") in refused(Store(tmp_path), 1)
    Store(tmp_path).ingest()
    assert empty in refused(Store(tmp_path), 1)
    RunFolder(tmp_path, "bare").create("bare", {})
    Store(tmp_path).ingest()
    assert "no run bear" in (said := refused(Store(tmp_path), 1, "--run", "bear"))
    assert said.endswith("the only one is bare")
    said = refused(Store(tmp_path), 1)
    assert (
        f"run bare holds no comparisons yet; first run: `steca stage rewards --run bare --data-dir {tmp_path}`"
        in said
    )


def test_a_run_that_needs_no_step_rewards_says_so(tmp_path: Path) -> None:
    """Not to run the stage, which would have nothing to do."""
    only_experts = {"calibrated": False, "expert_suffixes": False, "explored_successes": False}
    RunFolder(tmp_path, "sft").create("sft", {"datasets": only_experts})
    RunFolder(tmp_path, "eto").create("eto", {"training": {"method": "eto"}})
    asked = {"datasets": only_experts, "rewards": {"evidence": "always"}}
    RunFolder(tmp_path, "asked").create("asked", asked)
    Store(tmp_path).ingest()
    for run in ("sft", "eto"):
        assert refused(Store(tmp_path), 1, "--run", run) == (
            f"error: run {run} has no step rewards, because what it trains on needs none. For comparisons, start "
            f"`steca run --config CONFIG --set rewards.evidence=always --set data_dir={tmp_path}`, which is a run of "
            "its own"
        )
    assert "first run: `steca stage rewards --run asked" in refused(Store(tmp_path), 1, "--run", "asked")


def test_a_run_is_found_by_the_start_of_its_id(store: Store) -> None:
    assert what_if(store, "--run", "pap").stdout == what_if(store, "--run", "paper").stdout
    with pytest.raises(StorageFault, match="no run has the id pap: `SELECT run_id FROM runs` lists them"):
        store.query("SELECT count(*) FROM what_if('pap')")


def test_without_another_rule_it_says_how_to_give_one(store: Store) -> None:
    hint = "give --preset, --delta, --error-rate, --smallest-drop or --probability"
    assert hint in what_if(store).stdout
    assert hint not in what_if(store, "--delta", 0.1).stdout


def test_a_run_of_an_older_version_says_what_to_run(tmp_path: Path) -> None:
    old = deviation("d", "filtered", explored_success=None, similarity=None, continues=None)
    record_run(tmp_path, "old", ShardStore(tmp_path).write_batch("rewards-1", "b0", [old]))
    Store(tmp_path).ingest()
    said = refused(Store(tmp_path), 1, "--delta", 0.1)
    assert "1 of 1 comparisons of run old were stored by an older version" in said
    assert "steca stage rewards --run old" in said


def played_again(store: Store) -> int:
    """Every rollout of the run once more with another result, by another run. Returns how many."""
    columns, rows = store.query("SELECT * EXCLUDE (provenance) FROM rollouts")
    first = [RolloutRecord.model_validate(dict(zip(columns, row, strict=True))) for row in rows]
    again = [
        row.model_copy(update={"rollout_id": content_id("again", row.rollout_id), "outcome": 1.0})
        for row in first
    ]
    ShardStore(store.root).write_batch("rewards-again", "b0", again)
    return len(again)


@pytest.mark.parametrize("mode", ["fixed", "sequential"])
def test_rollouts_that_were_played_twice_count_once_and_it_is_said(tmp_path: Path, mode: str) -> None:
    store = judged_run(tmp_path, "twice", preset("sequential" if mode == "sequential" else "paper"), mode)
    rewards = "SELECT step_reward_id, n FROM step_rewards ORDER BY ALL"
    before, said = store.query(rewards)[1], what_if(store, "--preset", "release").stdout
    assert "played twice" not in said
    conflicts = played_again(store)
    assert store.ingest().rollout_conflicts == conflicts
    assert store.query(rewards)[1] == before
    assert store.query("SELECT count(*), count(DISTINCT rollout_id) FROM rollout_conflicts")[1] == [
        (conflicts,) * 2
    ]
    said = what_if(store, "--preset", "release").stdout
    assert re.search(
        r"[1-9]\d* comparisons with rollouts that were played twice with different results", said
    )
    for options in (["--preset", "paper"], ["--delta", "0.1"], ["--error-rate", "0.2"]):
        assert what_if(store, *options).exit_code == 0
    kept = store.query(
        "SELECT count(*) FROM rollouts WHERE rollout_id = (SELECT min(used) FROM rollout_conflicts)"
    )
    assert kept[1] == [(1,)]
