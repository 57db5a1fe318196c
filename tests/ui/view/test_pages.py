"""The pages in a browser: what is written in them is text, and they do what docs/view.md says."""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flows.what_if import OtherRule, WhatIf
from tests.ui.view.conftest import HOSTILE, MARKUP, TASKS
from view.bundle import write_bundle, write_report
from view.published import Published
from view.queries.listing import Filter, listed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RUN = "made-up"
ODD = f"#/run/{RUN}/trajectory/x9"
ADDRESSES = {
    "runs": "#/",
    "run": f"#/run/{RUN}",
    "two runs": f"#/run/{RUN}?beside={RUN}",
    "threshold": f"#/run/{RUN}/bench",
    "trajectories": f"#/run/{RUN}/trajectories",
    "trajectory": ODD,
    "side by side": f"{ODD}?side=1",
    "long": f"#/run/{RUN}/trajectory/x4",
}


FILTERED = {
    "kind": ["explored", "expert", "calibrated"],
    "split": ["train"],
    "type": ["look", "nothing"],
    "round": ["1", "2"],
    "success": ["true", "false"],
    "verdict": ["deviated", "filtered"],
    "trained": ["true", "false"],
    "set": ["calibrated", "expert"],
    "reward_from": ["0", "0.5"],
    "value_to": ["0.4", "1"],
    "q": ["BOLD", "a sink 1", "long long", "eversion", "x1", "; DROP", "🧪"],
    "order": ["task", "gap", "value", "steps", "reward"],
}
"""Values of each filter, as an address has them."""


def opened(page: Page, address: str) -> Page:
    """The page at an address, when it shows its data. A new document each time."""
    page.goto("about:blank")
    page.goto(address)
    page.locator("main h1, main h2").first.wait_for()
    until(page, "!document.querySelector('main .waiting, main .stale')")
    return page


def until(page: Page, expression: str) -> None:
    """Wait until a JavaScript expression is true. Playwright's own way needs `eval`, which the pages forbid."""
    end = time.monotonic() + 30
    while not page.evaluate(expression):
        assert time.monotonic() < end, (
            f"never came true: {expression}\n{page.locator('main').inner_text()[:2000]}"
        )
        page.wait_for_timeout(50)


def harmless(page: Page) -> bool:
    """Whether no text was run as a script or became an element."""
    return not page.evaluate(
        "'stolen' in globalThis || Boolean(document.querySelector('img, a[href^=javascript]'))"
    )


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_pages_are_drawn_and_texts_are_texts(page: Page, url: str, name: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    opened(page, url + ADDRESSES[name])
    assert page.locator(".fault").count() == 0
    page.wait_for_timeout(300)
    assert harmless(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_hostile_texts_are_shown_whole(page: Page, url: str) -> None:
    opened(page, url + ODD)
    turn = page.locator(".turn").first
    for part in (".thought", ".action", ".observation"):
        shown = turn.locator(part).inner_text()
        assert MARKUP in shown
        assert "**bold** [link](javascript:globalThis.stolen=1) '; DROP TABLE steps; --" in shown
        assert "ESC[31mred" in shown
        assert "U+202E" in shown
        assert "U+0000" in shown
    page.locator(".rollouts-button").first.click()
    page.locator(".tree summary").first.wait_for()
    assert MARKUP in page.locator(".tree").first.inner_text()
    assert harmless(page)


def test_a_text_that_becomes_html_would_be_noticed(browser: Browser, url: str) -> None:
    """The pages' policy stops handlers in markup only where inline scripts are forbidden, which they cannot be: the
    import map is one. So the escaping is all that there is, and this shows that its absence is seen."""
    page = browser.new_page()
    opened(page, url + ODD)
    assert harmless(page)
    page.evaluate("text => { document.querySelector('main').innerHTML = text }", HOSTILE)
    page.wait_for_timeout(500)
    assert not harmless(page)
    page.close()


def test_a_megabyte_is_cut_with_a_way_to_see_it(page: Page, url: str) -> None:
    opened(page, url + ADDRESSES["long"])
    observation = page.locator('[data-turn="2"] .observation')
    assert len(observation.inner_text()) < 10_000
    observation.get_by_role("button").click()
    until(page, "document.querySelector('[data-turn=\"2\"] .observation').innerText.length > 900000")


def test_filters_are_in_the_address_and_survive(page: Page, url: str) -> None:
    opened(page, url + ADDRESSES["trajectories"])
    assert f"of {3 * TASKS}" in page.locator(".pages").first.inner_text()
    page.get_by_role("combobox", name="kind").select_option("explored")
    page.get_by_role("searchbox").fill("cup 12")
    page.wait_for_url(re.compile("q=cup"))
    until(page, "document.querySelector('.pages')?.innerText.startsWith('1 to 1 of 1')")
    page.reload()
    page.locator("tbody tr").first.wait_for()
    assert page.locator("tbody tr").count() == 1
    assert page.get_by_role("searchbox").input_value() == "cup 12"
    page.get_by_role("button", name="clear").click()
    until(page, f"document.querySelector('.pages')?.innerText.includes('of {3 * TASKS}')")


def test_search_takes_hostile_text(page: Page, url: str) -> None:
    opened(page, url + ADDRESSES["trajectories"])
    page.get_by_role("searchbox").fill("'; DROP TABLE steps; --")
    until(page, f"document.querySelector('.pages')?.innerText.includes('of {3 * TASKS // 2}')")
    assert harmless(page)


def test_previous_and_next_respect_the_filter(page: Page, url: str) -> None:
    opened(page, f"{url}#/run/{RUN}/trajectories?kind=explored")
    page.locator("td.task a").first.click()
    page.locator(".turn").first.wait_for()
    until(page, f"document.querySelector('.pages')?.innerText.includes('1 of {TASKS}')")
    seen = []
    for place in range(2, 5):
        page.keyboard.press("ArrowRight")
        until(page, f"document.querySelector('.pages')?.innerText.includes('{place} of {TASKS}')")
        seen.append(page.url)
        assert "kind=explored" in page.url
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(seen[1])
    page.keyboard.press("u")
    page.wait_for_url(re.compile(r"/trajectories\?kind=explored"))


def test_keys_walk_through_turns(page: Page, url: str) -> None:
    opened(page, f"{url}{ODD}?turn=0")
    assert page.locator(".turn.current").get_attribute("data-turn") == "0"
    page.keyboard.press("j")
    page.locator('.turn.current[data-turn="1"]').wait_for()
    assert "turn=1" in page.url
    page.keyboard.press("r")
    page.locator('[data-turn="1"] .tree').first.wait_for()
    page.keyboard.press("k")
    page.locator('.turn.current[data-turn="0"]').wait_for()
    page.keyboard.press("s")
    page.locator(".three .column").nth(2).wait_for()
    page.keyboard.press("s")
    page.keyboard.press(" ")
    page.locator('.turn.current[data-turn="2"]').wait_for(timeout=10_000)


def test_a_link_to_a_turn_marks_it(page: Page, url: str) -> None:
    opened(page, f"{url}{ODD}?turn=2")
    assert page.locator(".turn.current").get_attribute("data-turn") == "2"


def test_three_runs_stand_side_by_side(page: Page, url: str) -> None:
    opened(page, f"{url}#/run/{RUN}/trajectory/x2?side=1")
    page.locator(".column").nth(2).locator(".turn.repair").first.wait_for()
    headings = page.locator(".column h3").all_inner_texts()
    assert headings == ["expert", "explored (this one)", "repaired"]
    repaired = page.locator(".column").nth(2)
    assert repaired.locator(".deviated-turn").count() == 1
    assert repaired.locator(".turn.repair .badge.trained").first.inner_text() == "trained × 1.25"
    assert repaired.locator(".deviated-turn .badge.trained").count() == 0


def test_a_label_is_kept_and_shown_again(page: Page, url: str, hostile: Path) -> None:
    opened(page, f"{url}#/run/{RUN}/trajectory/x4")
    page.locator(".opinion", has_text="disagree").click()
    page.locator(".opinion[aria-pressed=true]", has_text="disagree").wait_for()
    [line] = [json.loads(each) for each in (hostile / "labels.jsonl").read_text().splitlines()]
    assert (line["deviation_id"], line["label"], line["step_index"]) == ("d4", "disagree", 1)
    opened(page, f"{url}#/run/{RUN}/trajectory/x4")
    page.locator(".opinion[aria-pressed=true]", has_text="disagree").wait_for()
    opened(page, f"{url}#/run/{RUN}")
    assert "What people say" in page.locator(".verdicts").inner_text()


def cards(page: Page) -> dict[str, int]:
    shown = page.locator(".cards div").evaluate_all(
        "all => all.map(each => [each.children[1].innerText, each.children[0].innerText])"
    )
    return {name: int(value.replace(",", "")) for name, value in shown}


def test_the_threshold_moves_counts_as_what_if_says(page: Page, url: str, published: Published) -> None:
    opened(page, url + ADDRESSES["threshold"])
    slider = page.get_by_label("threshold", exact=True)
    for delta, place in ((-0.5, 10), (0.0, 20), (0.3, 26)):
        slider.evaluate(
            "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', {bubbles: true})) }",
            place,
        )
        page.wait_for_timeout(400)
        matrix = WhatIf(published.store, RUN, OtherRule(None, delta)).matrix()
        wanted = sum(n for (_, then), n in matrix.items() if then == "deviated")
        assert cards(page)["deviated"] == wanted
        if delta:
            assert f"delta={delta}" in page.url
    assert wanted == TASKS


@pytest.fixture(scope="module")
def bundle(hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("bundle") / "run.html"
    told: list[Any] = []
    held, total = write_bundle(Published(hostile), RUN, file, 100, lambda *done: told.append(done))
    assert (held, total) == (100, 3 * TASKS)
    assert told[-1] == (100, 100)
    return file


@pytest.mark.parametrize("name", [name for name in ADDRESSES if name not in ("two runs",)])
def test_a_file_shows_the_same_without_a_server(page: Page, url: str, bundle: Path, name: str) -> None:
    page.context.set_offline(True)
    opened(page, f"{bundle.as_uri()}{ADDRESSES[name]}")
    page.wait_for_timeout(300)
    alone = page.locator("main").inner_text()
    assert harmless(page)
    page.context.set_offline(False)
    if name not in ("trajectories", "trajectory", "side by side", "long"):  # fewer trajectories, no labels
        opened(page, url + ADDRESSES[name])
        page.wait_for_timeout(300)
        assert without_labels(page.locator("main").inner_text()) == without_labels(alone)


def without_labels(text: str) -> str:
    return re.sub(r"What people say.*?(?=Repairs)", "", text, flags=re.S)


def test_a_file_filters_and_walks(page: Page, bundle: Path) -> None:
    page.context.set_offline(True)
    opened(page, f"{bundle.as_uri()}#/run/{RUN}/trajectories?kind=explored&order=gap")
    assert "holds 100 of the run's 180 trajectories" in page.locator("main").inner_text()
    page.get_by_role("searchbox").fill("DROP TABLE")
    page.wait_for_url(re.compile("q=DROP"))
    page.wait_for_timeout(300)
    page.locator("td.task a").first.click()
    page.locator(".turn").first.wait_for()
    until(
        page,
        "/^list previous next 1 of/.test(document.querySelector('.pages').innerText.replace(/\\s+/g, ' '))",
    )
    page.keyboard.press("ArrowRight")
    until(page, "/2 of/.test(document.querySelector('.pages').innerText)")
    page.locator(".rollouts-button").first.click()
    page.locator(".tree").first.wait_for()
    assert harmless(page)


def test_every_filter_means_the_same_in_a_file(page: Page, published: Published, tmp_path: Path) -> None:
    """Once in SQL, once in JavaScript."""
    whole = tmp_path / "whole.html"
    write_bundle(published, RUN, whole, 1000, lambda *done: None)
    opened(page, whole.as_uri())
    draw = random.Random(0)
    told = set()
    for _ in range(80):
        asked = {name: draw.choice(values) for name, values in FILTERED.items() if draw.random() < 0.25}
        there = listed(published, RUN, Filter.model_validate(asked))
        here = page.evaluate(
            "([path, asked]) => import('view/source').then((source) => source.get(path, asked))",
            [f"/runs/{RUN}/trajectories", asked],
        )
        assert (here["total"], [row["trajectory_id"] for row in here["rows"]]) == (
            there["total"],
            [row["trajectory_id"] for row in there["rows"]],
        ), asked
        told.add(there["total"])
    assert len(told) > 5


@pytest.mark.parametrize("called", ["made", "made-up"])
def test_the_run_of_a_file_may_be_called_by_a_part_of_its_id(page: Page, bundle: Path, called: str) -> None:
    opened(page, f"{bundle.as_uri()}#/run/{called}/trajectories")
    assert page.locator("tbody tr").count() == 50
    assert page.locator("header nav a").count() == 3


def test_an_unknown_address_is_told(page: Page, url: str) -> None:
    page.goto(f"{url}#/nowhere")
    page.get_by_text("There is no such page.").wait_for()


def test_a_report_has_no_dead_links(page: Page, hostile: Path, tmp_path: Path) -> None:
    write_report(Published(hostile), RUN, tmp_path / "report.html")
    page.context.set_offline(True)
    opened(page, f"{(tmp_path / 'report.html').as_uri()}#/run/{RUN}")
    links = page.locator("a").evaluate_all("all => all.map(each => each.getAttribute('href'))")
    assert not [link for link in links if "trajector" in link]
    opened(page, f"{(tmp_path / 'report.html').as_uri()}#/run/{RUN}/bench?delta=0.3")
    assert cards(page)["deviated"] == TASKS


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_either_scheme(page: Page, url: str, scheme: str) -> None:
    """The contrast of text to its ground is at least 4.5 to 1, as WCAG AA asks for."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    opened(page, f"{url}#/run/{RUN}/trajectory/r2")
    for selector in ("h1", ".thought", ".action", ".observation", ".chips", ".badge.trained"):
        assert page.locator(selector).first.evaluate(CONTRAST) >= 4.5, selector


CONTRAST = """element => {
    const channels = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
    const linear = (c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
    const clear = (each) => channels(getComputedStyle(each).backgroundColor)[3] === 0;
    let ground = element;
    while (ground.parentElement && clear(ground)) ground = ground.parentElement;
    const a = light(channels(getComputedStyle(element).color));
    const b = light(channels(getComputedStyle(ground).backgroundColor));
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""
