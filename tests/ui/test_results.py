"""A person reads what came out of a run on its page."""

from __future__ import annotations

from collections.abc import Callable

from tests.ui.screens import Screens
from tests.ui.serving import Serving


def test_the_page_of_a_run_shows_success_pictures_and_queries(
    each: Screens, serving: Serving, finished: str, picture: Callable[..., None]
) -> None:
    page, run = each.page, serving.run_id()
    each.open_run(finished)
    page.get_by_text("demonstrate: done after").first.wait_for()  # in the log, which shows only what fits
    picture("run")
    each.open_run(finished, "Artifacts")
    page.get_by_role("link", name=f"{run}-results").click()
    page.get_by_role("heading", name="Success", exact=True).wait_for()
    page.get_by_role("row").filter(has_text="seen").filter(has_text="trained").first.wait_for()
    widths = page.get_by_role("img", name="Success rates").evaluate_all("all => all.map(e => e.naturalWidth)")
    assert widths
    assert min(widths) > 400
    page.get_by_text("FROM success_by_task_type").first.wait_for()
    picture("results", 1300)

    # V1 opens links in another tab
    page.goto(page.get_by_role("link", name="rewards, round 1").evaluate("link => link.href"))
    page.get_by_text(f"{run}-rewards").first.wait_for()
