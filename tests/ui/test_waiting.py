"""A person sees that a run waits for its turn, and for which one."""

from __future__ import annotations

from flows.runs.lock import hold
from tests.ui.screens import Screens
from tests.ui.serving import QUICKSTART, Serving


def test_a_run_that_waits_for_its_turn_says_so(each: Screens, serving: Serving, finished: str) -> None:
    with hold(serving.data_dir / "locks" / "deployments.lock", "here", print, holder="a test"):
        run = serving.api.start(QUICKSTART)
        each.open_run(run)
        each.see_state("Waiting")
        message = f"is working in {serving.data_dir}: waiting for it"
        each.page.get_by_text(message).first.wait_for()  # in the log
        each.see_message(run, message)
        each.see_in_list(run, "Waiting")
        each.open_run(run)
    each.see_state("Completed")
    assert serving.api.states(run)[-3:] == ["Waiting", "Running", "Completed"]
