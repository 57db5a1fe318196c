"""A person lets a stage begin, in the form on the page of the run."""

from __future__ import annotations

from collections.abc import Callable

from tests.ui.screens import Screens
from tests.ui.serving import QUICKSTART, Serving


def test_a_paused_run_shows_the_evidence_and_is_resumed_with_the_form(
    v2: Screens, serving: Serving, finished: str, picture: Callable[..., None]
) -> None:
    v2.open_form(QUICKSTART)
    v2.choose("approve", "calibrate")
    v2.page.keyboard.press("Escape")
    v2.submit()
    run = v2.started(QUICKSTART)
    v2.open_run(run)
    v2.see_state("Paused")
    v2.choose_in_menu("Resume")
    v2.page.get_by_text("Some verdicts with their evidence").wait_for()
    picture("approve", 1100)
    v2.button("Resume").click()
    v2.see_state("Completed")
    assert serving.api.run(run)["state_type"] == "COMPLETED"
