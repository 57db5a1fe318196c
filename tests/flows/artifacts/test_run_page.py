"""The page of a run holds its figures, its pictures, its lineage and queries that answer."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from configs.schema import FactoryConfig
from flows.artifacts.page import RunSource, page_key
from flows.artifacts.queries import CHOICE, queries
from flows.artifacts.run_page import run_page
from flows.runs.run import run_id
from flows.summary.success import rates
from storage.records import Record
from storage.store import Store
from tests.flows.artifacts.test_markdown import HOSTILE
from tests.support.made_up_run import made_up_run
from tests.support.pages import blocks
from tests.support.store_rows import (
    calibration,
    checkpoint,
    deviation,
    evaluation,
    example,
    llm_call,
    pair,
    rollouts,
    scored_turn,
    trajectory,
)

PNG = re.compile(r"!\[([^\]]*)\]\(data:image/png;base64,([\w+/=]+)\)")


@pytest.fixture(scope="module")
def source(finished: FactoryConfig) -> RunSource:
    return RunSource(finished.data_dir, run_id(finished))


@pytest.fixture(scope="module")
def page(source: RunSource) -> str:
    return run_page(source).markdown


def test_it_has_the_success_of_each_policy(source: RunSource, page: str) -> None:
    tested = rates(source.store, source.run_id)
    assert tested
    for each in tested:
        cells = f"| {each.policy} | {each.n} | {each.successes} | {each.rate:.3f} | {each.low:.3f} - {each.high:.3f} |"
        assert cells in page
    assert "### Trained against warm-up policy on the same tasks" in page


def test_it_has_counts_stages_run_and_store(source: RunSource, page: str) -> None:
    ((rollouts_made, deviated),) = source.rows(
        "SELECT rollouts, deviated FROM run_summary WHERE run_id = $run"
    )
    assert f"| rollouts | {rollouts_made:,} |" in page
    assert f"| deviated | {deviated:,} |" in page
    for stage in ("demonstrate", "warmup", "explore", "rewards", "calibrate", "train", "evaluate"):
        assert f"| {stage} | completed |" in page
    assert f"`{source.run_id}`" in page
    assert f"`{source.store.published}`" in page


def test_its_pictures_are_small(page: str) -> None:
    pictures = {what: base64.b64decode(data) for what, data in PNG.findall(page)}
    assert set(pictures) == {
        "Success rates with 95 % intervals",
        "Gaps of the step rewards by verdict",
        "Training curves",
    }
    for data in pictures.values():
        assert data.startswith(b"\x89PNG")
        assert len(data) < 60_000


def test_the_lineage_has_the_numbers_of_the_run(source: RunSource, page: str) -> None:
    (drawing,) = blocks(page, "mermaid")
    ((tasks, expert),) = source.rows(
        "SELECT count(DISTINCT task_id), count(*) FROM run_trajectories WHERE run_id = $run AND kind = 'expert'"
    )
    assert f'tasks0["{tasks} tasks"]' in drawing
    assert f'demonstrations0["demonstrations<br>{expert} runs<br>' in drawing
    for digest in source.rows("SELECT digest FROM run_checkpoints WHERE run_id = $run"):
        assert digest[0][:8] in drawing
    for arrow in (
        *("tasks0 --> demonstrations0", "demonstrations0 --> policy0", "policy0 --> played1"),
        *("played1 --> rewards1", "rewards1 --> verdicts1", "examples1 --> policy1", "policy0 --> policy1"),
        "policy1 --> success1",
    ):
        assert arrow in drawing
    nodes = set(re.findall(r"^    (\w+)\[", drawing, re.M))
    ends = {end for arrow in re.findall(r"(\w+) --> (\w+)", drawing) for end in arrow}
    assert ends == nodes, "every node has an arrow, and every arrow its nodes"


def test_its_queries_answer(source: RunSource, page: str) -> None:
    asked = blocks(page, "sql")
    assert len(asked) == 3
    for sql in asked:
        assert source.run_id in sql
        columns, rows = source.store.query(sql)
        assert columns
        assert rows


def test_every_query_that_may_be_chosen_runs(source: RunSource) -> None:
    for what, sql in CHOICE:
        source.store.query(sql.format(run=source.run_id))
        assert what.isprintable()


def test_it_links_the_pages_of_its_stages(source: RunSource, page: str) -> None:
    assert f"[rewards, round 1](../key/{source.run_id}-rewards-1)" in page
    assert f"[warmup](../key/{source.run_id}-warmup)" in page


def test_it_says_where_everything_came_from_the_cache(source: RunSource, page: str) -> None:
    cached = run_page(source, cached=True)
    assert "**Nothing new was made.**" in cached.markdown
    assert "set `seed` to `next`" in cached.markdown
    assert "Nothing new was made" not in page
    assert cached.key == run_page(source).key == f"{source.run_id}-results"
    assert "\n" not in cached.description


def test_keys_are_what_prefect_takes() -> None:
    assert page_key("My_Run.2-AB12", "rewards", "1") == "my-run-2-ab12-rewards-1"
    for text in HOSTILE.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", page_key(text, "results"))


def test_an_empty_run_has_a_page(tmp_path: Path) -> None:
    source = made_up_run(tmp_path, {})
    page = run_page(source)
    assert page.description == "nothing tested: results of run made-up"
    assert "still to come" in page.markdown
    assert "the deployment `rerun-demonstrate` with `run` = `made-up` and `following` on" in page.markdown
    assert not PNG.search(page.markdown)
    assert queries(source), "its settings can be asked for"


def two_rounds(root: Path) -> RunSource:
    def trained(digest: str, parent: str, round: int) -> Record:
        return checkpoint(digest).model_copy(
            update={"role": "trained", "round": round, "parent": parent, "training_id": digest}
        )

    def tested(role: str, digest: str, round: int, won: int) -> list[Record]:
        return [
            evaluation(f"{role}{round}{n}", "pick", n < won, role=role, checkpoint=digest, task_id=f"t{n}")
            for n in range(4)
        ]

    return made_up_run(
        root,
        {
            ("warmup", 1): [checkpoint("aaaaaaaa")],
            ("explore", 1): [trajectory("x")],
            ("train", 1): [example("s", "expert"), trained("bbbbbbbb", "aaaaaaaa", 1)],
            ("evaluate", 1): [*tested("warmup", "aaaaaaaa", 1, 1), *tested("trained", "bbbbbbbb", 1, 2)],
            ("explore", 2): [trajectory("y")],
            ("train", 2): [example("u", "calibrated"), trained("cccccccc", "bbbbbbbb", 2)],
            ("evaluate", 2): [*tested("warmup", "aaaaaaaa", 2, 1), *tested("trained", "cccccccc", 2, 4)],
        },
        rounds=2,
    )


def test_a_run_of_two_rounds(tmp_path: Path) -> None:
    page = run_page(two_rounds(tmp_path)).markdown
    assert "- unseen: 100.0 % of 4 tasks won, 25.0 % before training (change +0.750" in page
    assert "| unseen | beginning | trained, round 2 | 4 | 4 | 1.000 |" in page
    (drawing,) = blocks(page, "mermaid")
    for arrow in (
        "policy0 --> played1",
        "policy1 --> played2",
        "policy1 --> policy2",
        "examples2 --> policy2",
    ):
        assert arrow in drawing
    assert "policy0 --> policy2" not in drawing
    assert 'success2["success, round 2<br>unseen 1.000"]' in drawing
    assert "[train, round 2](../key/made-up-train-2)" in page


def test_a_run_that_learns_from_preferences_has_no_calibrations(tmp_path: Path) -> None:
    source = made_up_run(
        tmp_path,
        {("explore", 1): [trajectory("x")], ("train", 1): [pair("p", "e", "x"), pair("q", "e", "y")]},
    )
    page = run_page(source).markdown
    (drawing,) = blocks(page, "mermaid")
    assert 'examples1["training set<br>2 preference pairs"]' in drawing
    assert "repairs1" not in drawing
    assert "The preference pairs:" in page


def test_costs_of_language_models_are_there(tmp_path: Path) -> None:
    source = made_up_run(tmp_path, {("calibrate", 1): [llm_call("l"), calibration("a", "planner", None)]})
    page = run_page(source).markdown
    assert "### Language-model calls" in page
    assert "per kept calibration (1):" in page
    assert "Language-model calls" not in run_page(made_up_run(tmp_path / "other", {})).markdown


@pytest.mark.parametrize("name", HOSTILE)
def test_texts_from_outside_do_not_leave_their_place(name: str, tmp_path: Path) -> None:
    text = HOSTILE[name]
    rows = [
        trajectory("x"), *rollouts("r", [1.0, 0.0]), scored_turn("r", "expert"), scored_turn("s", "explored"),
        deviation("d", "deviated", ("r", 0.5, 2), ("s", 0.0, 2), rule=text, explored_action=text),
        llm_call("l", model=text), evaluation("v", text, True),
    ]  # fmt: skip
    source = made_up_run(tmp_path, {("explore", 1): rows})
    page = run_page(source)
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(page.markdown)
    found = [each for token in tokens for each in (token, *(token.children or ()))]
    assert {each.content.strip() for each in found if "html" in each.type} <= {
        *("<details><summary>Counts</summary>", "</details>")
    }
    assert all(str(each.attrGet("href")).startswith("../key/") for each in found if each.type == "link_open")
    assert all(
        str(each.attrGet("src")).startswith("data:image/png;") for each in found if each.type == "image"
    )
    assert not {each.type for each in found} & {"bullet_list_open", "hr", "em_open"}
    assert "\x1b" not in page.markdown + page.description
    assert len(blocks(page.markdown, "mermaid")) == 1
    assert len(blocks(page.markdown, "sql")) == 3
    assert Store(source.folder.root).query(blocks(page.markdown, "sql")[0])[1]
