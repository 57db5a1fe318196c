"""A person lets a stage begin, in the form on the page of the run."""

from __future__ import annotations

from collections.abc import Callable

from tests.ui.screens import Screens
from tests.ui.serving import QUICKSTART, Serving


def test_a_paused_run_shows_the_evidence_and_is_resumed_with_the_form(
    each: Screens, serving: Serving, finished: str, picture: Callable[..., None]
) -> None:
    each.open_form(QUICKSTART)
    each.choose("approve", "calibrate")
    each.close_list()
    each.submit()
    run = each.started(QUICKSTART)
    each.open_run(run)
    each.see_state("Paused")
    each.ask_to("Resume")
    each.page.get_by_text("Some verdicts with their evidence").wait_for()
    picture("approve", 1100)
    each.confirm("Resume")
    each.see_state("Completed")
    assert serving.api.run(run)["state_type"] == "COMPLETED"
