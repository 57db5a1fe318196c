"""A person sees why a run failed, and retries it; ends another one."""

from __future__ import annotations

from pathlib import Path

from tests.ui.screens import Screens
from tests.ui.serving import QUICKSTART, Serving


def test_a_failed_run_shows_its_message_and_is_retried(
    each: Screens, serving: Serving, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    obstacle = root / "checkpoints"
    root.mkdir()
    obstacle.write_text("in the way of the checkpoints\n")
    each.open_form(QUICKSTART)
    each.fill("data_dir", str(root))
    each.submit()
    run = each.started(QUICKSTART)
    each.open_run(run)
    each.see_state("Failed")
    each.see_message(run, "cannot write a checkpoint")

    obstacle.unlink()
    each.open_run(run)
    each.ask_to("Retry")
    each.confirm("Retry")
    each.see_state("Completed")
    found = serving.api.run(run)
    assert (found["state_type"], found["run_count"]) == ("COMPLETED", 2)


def test_cancel_ends_a_run(each: Screens, serving: Serving, tmp_path: Path) -> None:
    each.open_form(QUICKSTART)
    each.fill("data_dir", str(tmp_path / "data"))
    each.add_change("warmup.steps=1000000")
    each.submit()
    run = each.started(QUICKSTART)
    each.open_run(run)
    each.page.get_by_text("warmup: 1 batch").first.wait_for(timeout=300_000)  # in the log: it trains now
    each.ask_to("Cancel")
    each.confirm("Cancel")
    each.see_state("Cancelled")
    assert serving.api.wait(run)["state_type"] == "CANCELLED"
