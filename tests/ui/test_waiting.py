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
        each.see_in_list("/runs", run, "Waiting")
        if each.ui == "V1":  # its filter knows only Prefect's own names of states: docs/operating.md says so
            each.open(serving.page_of(QUICKSTART))
            each.page.get_by_text("Completed", exact=True).first.wait_for()
            assert not each.page.get_by_text("Waiting", exact=True).count()
        else:
            each.see_in_list(serving.page_of(QUICKSTART), run, "Waiting")
        each.open_run(run)
    each.see_state("Completed")
    assert serving.api.states(run)[-3:] == ["Waiting", "Running", "Completed"]
