"""The page of each stage says what it made, and what follows it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from cli.main import app
from configs.schema import FactoryConfig
from configs.stages import STAGES
from flows.artifacts.markdown import inline
from flows.artifacts.page import RunSource
from flows.artifacts.stage_page import BODIES, stage_page
from flows.deployments.offered import offers
from flows.runs.run import outdate, run_id
from flows.work.forecast import expected
from rollouts.budget import describe_spending
from storage.records import TrajectoryRecord
from storage.shards import ShardStore
from tests.conftest import small
from tests.flows.artifacts.test_markdown import HOSTILE
from tests.support.made_up_run import made_up_run
from tests.support.store_rows import (
    calibration,
    deviation,
    example,
    pair,
    step,
    task,
    trajectory,
)


@pytest.fixture(scope="module")
def source(finished: FactoryConfig) -> RunSource:
    return RunSource(finished.data_dir, run_id(finished))


def test_every_stage_has_a_page(source: RunSource) -> None:
    assert list(BODIES) == list(STAGES)
    for stage in STAGES:
        page = stage_page(source, stage, 1)
        round = "" if stage in ("demonstrate", "warmup") else "-1"
        assert page.key == f"{source.run_id}-{stage}{round}"
        assert page.description.startswith(f"completed: {stage}")
        assert f"Run `{source.run_id}`. **completed** in " in page.markdown
        assert "Nothing: the later stages of this run are complete and up to date." in page.markdown
        assert f"store `{source.store.published}`" in page.markdown


def test_demonstrate_counts_tasks_by_split(source: RunSource) -> None:
    page = stage_page(source, "demonstrate", 1).markdown
    for split, tasks in source.rows(
        "SELECT split, count(DISTINCT task_id) FROM run_tasks WHERE run_id = $run AND round = 0 GROUP BY split"
    ):
        assert f"| {split} | {tasks} |" in page


@pytest.mark.parametrize(("stage", "role"), [("warmup", "warmup"), ("train", "trained")])
def test_trainings_have_their_checkpoint_and_curves(source: RunSource, stage: str, role: str) -> None:
    page = stage_page(source, stage, 1).markdown
    ((digest, examples, steps, loss),) = source.rows(
        "SELECT digest, examples, steps, final_loss FROM run_checkpoints WHERE run_id = $run AND role = $role",
        role=role,
    )
    assert f"| checkpoint | {digest} |" in page
    assert f"| examples | {examples:,} |" in page
    assert f"| steps of the optimizer | {steps:,} |" in page
    assert f"| last loss | {loss:.4f} |" in page
    assert page.count("![Training curves](data:image/png;base64,") == 1


def test_train_has_its_sets_with_weights(source: RunSource) -> None:
    page = stage_page(source, "train", 1).markdown
    for n, mean in source.rows(
        "SELECT count(*), avg(weight) FROM run_training_examples WHERE run_id = $run GROUP BY dataset"
    ):
        assert re.search(rf"\| {n} \| \d+ \| [\d.]+ \| {mean:.3f} \| [\d.]+ \|", page)


def test_explore_counts_episodes_and_first_turns(source: RunSource) -> None:
    page = stage_page(source, "explore", 1).markdown
    ((episodes, won),) = source.rows(
        "SELECT count(*), count_if(success) FROM run_trajectories WHERE run_id = $run AND kind = 'explored'"
    )
    assert f"| explored | {episodes} | {won} |" in page
    first = re.findall(r"^\| (?:another action than the expert|the expert's action) \| (\d+) \|", page, re.M)
    assert sum(map(int, first)) == episodes


def test_rewards_has_verdicts_gaps_and_the_forecast(source: RunSource) -> None:
    page = stage_page(source, "rewards", 1).markdown
    for verdict, rule, n in source.rows(
        "SELECT verdict, rule, count(*) FROM run_deviations WHERE run_id = $run GROUP BY ALL"
    ):
        assert f"| {verdict.replace('_', ' ')} | {inline(rule)} | {n} |" in page
    assert "![Gaps of the step rewards by verdict]" in page
    state, explored = source.stage("rewards", 1), source.stage("explore", 1)
    assert state is not None
    assert state.spent is not None
    assert explored is not None
    assert source.config is not None
    assert f"| spent by the run so far | {describe_spending(state.spent, source.config.budget)} |" in page
    runs = [
        run for ref in explored.batches for run in ShardStore(source.folder.root).read(ref, TrajectoryRecord)
    ]
    candidates, likely, most = expected(runs, source.config)
    assert f"at most {candidates:,} candidates; about {likely:,} rollouts, at most {most:,} |" in page
    assert "ended early" not in page


def test_evaluate_has_rates_and_the_change(source: RunSource) -> None:
    page = stage_page(source, "evaluate", 1).markdown
    assert "![Success rates with 95 % intervals]" in page
    assert "### Trained against warm-up policy" in page
    assert "### By kind of task, from the beginning" in page


def test_a_stage_that_a_budget_stopped_says_so(stopped: FactoryConfig) -> None:
    run = run_id(small(stopped.data_dir))
    page = stage_page(RunSource(stopped.data_dir, run), "rewards", 1)
    assert page.description.startswith("completed, ended early: rewards, round 1")
    assert "**Ended early:** budget.rollouts = 7 is spent." in page.markdown
    assert (
        "| ended early | budget.rollouts = 7 is spent; comparisons without enough rollouts are undecided |"
        in page.markdown
    )
    assert "| undecided |" in page.markdown
    assert "7 of 7 rollouts" in page.markdown


def test_what_follows_lists_outdated_and_missing_stages(copied: FactoryConfig) -> None:
    source = RunSource(copied.data_dir, run_id(copied))
    outdate(source.folder, "calibrate", 1)
    (source.folder.folder / "stages" / "1-evaluate.json").unlink()
    page = stage_page(source, "calibrate", 1).markdown
    why = "stage calibrate was redone with another result since"
    assert f"| train, round 1 | outdated | {why} |" in page
    assert "| evaluate, round 1 | still to come |  |" in page
    assert (
        f"the deployment `rerun-train` with `run` = `{source.run_id}`, `round` = `1` and `following` on"
        in page
    )
    assert "| rewards" not in page.split("## What follows")[1]


def test_what_follows_names_a_deployment_and_a_command_that_exist(tmp_path: Path) -> None:
    offered = {offer.name: offer.flow.parameters.properties for offer in offers(tmp_path)[0]}
    for stages in ({}, {("demonstrate", 1): [task("task")], ("warmup", 1): ()}):
        page = stage_page(made_up_run(tmp_path / str(len(stages)), stages), "demonstrate", 1).markdown
        name, fields = re.findall(r"the deployment `([\w-]+)` with (.*) on, or use", page)[0]
        assert set(re.findall(r"`(\w+)`(?: =|$)", fields)) <= set(offered[name])
        assert "`following`" in fields
        command = re.findall(r"use the command `steca (.*?)`", page)[0]
        said = CliRunner().invoke(app, [*shlex.split(command), "--help"])
        assert said.exit_code == 0
        assert "--following" in said.output


def test_a_stage_of_an_earlier_round_is_followed_by_the_next_round(tmp_path: Path) -> None:
    source = made_up_run(
        tmp_path, {("explore", 1): [trajectory("x")], ("explore", 2): [trajectory("x")]}, rounds=2
    )
    follows = stage_page(source, "evaluate", 1).markdown.split("## What follows")[1]
    assert "explore, round 2" not in follows, "it is complete"
    assert "| rewards, round 2 | still to come |" in follows
    assert "round 1" not in follows


def test_a_stage_that_has_not_run_and_one_with_nothing_to_do(tmp_path: Path) -> None:
    none = {"calibrated": False, "explored_successes": False, "expert_suffixes": False}
    source = made_up_run(tmp_path, {("explore", 1): ()}, datasets=none)
    skipped = stage_page(source, "explore", 1).markdown
    assert "Nothing to do: what this run trains on does not need it." in skipped
    assert "### Episodes" not in skipped
    missing = stage_page(source, "rewards", 1)
    assert "This stage has not run yet." in missing.markdown
    assert missing.description.startswith("not run yet: rewards")


def test_a_failed_stage_has_its_error(tmp_path: Path) -> None:
    source = made_up_run(tmp_path, {("explore", 1): [trajectory("x")]})
    state = source.stage("explore", 1)
    assert state
    source.folder.save_stage(state.model_copy(update={"status": "failed", "error": "disk <full>"}))
    page = stage_page(source, "explore", 1)
    assert "**failed**" in page.markdown
    assert "Error: disk \\<full\\>" in page.markdown
    assert page.description.startswith("failed: ")


def test_preference_pairs_take_the_place_of_training_sets(tmp_path: Path) -> None:
    source = made_up_run(
        tmp_path, {("train", 1): [pair("p", "e", "x", margin=0.5), pair("q", "e", "y", margin=1.0)]}
    )
    page = stage_page(source, "train", 1).markdown
    assert "| eto | outcome | 2 | 1 | +0.750 |" in page
    assert "### Training set" not in page


def test_two_rounds_have_pages_of_their_own(tmp_path: Path) -> None:
    source = made_up_run(
        tmp_path,
        {
            ("train", 1): [example("a", "expert")],
            ("train", 2): [example("b", "calibrated"), example("c", "calibrated", weight=2.0)],
        },
        rounds=2,
    )
    first, second = (stage_page(source, "train", round) for round in (1, 2))
    assert (first.key, second.key) == ("made-up-train-1", "made-up-train-2")
    assert "| expert runs | 1 | 1 | 1.000 | 1.000 | 1.000 |" in first.markdown
    assert "| calibrated (D\\_c) | 2 | 1 | 1.000 | 1.500 | 2.000 |" in second.markdown
    assert "expert runs" not in second.markdown


@pytest.mark.parametrize("name", HOSTILE)
def test_texts_of_models_and_worlds_are_shown_only(name: str, tmp_path: Path) -> None:
    text = HOSTILE[name]
    repair = calibration("a", "planner", None).model_copy(update={"reflection": text, "reflector": text})
    rows = [
        task("task", text), trajectory("x"),
        deviation("d", "deviated", explored_action=text, expert_action=text, rule=text),
        repair, calibration("b", "planner", "repair_failed"),
        *(step("x", n).model_copy(update={"action": text, "observation": text}) for n in (1, 2)),
    ]  # fmt: skip
    source = made_up_run(tmp_path, {("explore", 1): rows, ("rewards", 1): rows, ("calibrate", 1): rows})
    for stage in ("explore", "rewards", "calibrate"):
        page = stage_page(source, stage, 1)
        tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(page.markdown)
        found = {each.type for token in tokens for each in (token, *(token.children or ()))}
        assert not found & {"html_block", "html_inline", "link_open", "fence", "hr", "bullet_list_open"}
        headings = [token.tag for token in tokens if token.type == "heading_open"]
        assert headings[0] == "h1"
        assert headings.count("h1") == 1
        assert "\n" not in page.description


def test_one_kept_calibration_is_shown_with_its_turns(tmp_path: Path) -> None:
    source = made_up_run(
        tmp_path,
        {
            ("calibrate", 1): [
                task("task"), deviation("d", "deviated", ("r", 0.8, 5), ("s", 0.2, 5)), step("x", 1), step("x", 2),
                calibration("a", "planner", None), calibration("b", "planner", "repair_failed"),
            ]
        },
    )  # fmt: skip
    page = stage_page(source, "calibrate", 1).markdown
    assert "| rejected | repair failed | planner | 1 |" in page
    assert "At step 1 the policy chose `go`, the expert `look` (gap -0.60)." in page
    assert "> That was wrong." in page
    assert page.count("| look — ü |") == 2
