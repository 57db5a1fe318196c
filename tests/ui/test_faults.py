"""A person sees why a run failed, and retries it; ends another one."""

from __future__ import annotations

from pathlib import Path

from tests.ui.screens import Screens
from tests.ui.serving import QUICKSTART, Serving


def test_a_failed_run_shows_its_message_and_is_retried(v2: Screens, serving: Serving, tmp_path: Path) -> None:
    root = tmp_path / "data"
    obstacle = root / "checkpoints"
    root.mkdir()
    obstacle.write_text("in the way of the checkpoints\n")
    v2.open_form(QUICKSTART)
    v2.fill("data_dir", str(root))
    v2.submit()
    run = v2.started(QUICKSTART)
    v2.open_run(run)
    v2.see_state("Failed")
    v2.open_run(run, "Details")
    v2.page.get_by_text("cannot write a checkpoint").first.wait_for()

    obstacle.unlink()
    v2.choose_in_menu("Retry")
    v2.page.get_by_role("alertdialog").get_by_role("button", name="Retry").click()
    v2.see_state("Completed")
    found = serving.api.run(run)
    assert (found["state_type"], found["run_count"]) == ("COMPLETED", 2)


def test_cancel_ends_a_run(v2: Screens, serving: Serving, tmp_path: Path) -> None:
    v2.open_form(QUICKSTART)
    v2.fill("data_dir", str(tmp_path / "data"))
    v2.add_change("warmup.steps=1000000")
    v2.submit()
    run = v2.started(QUICKSTART)
    v2.open_run(run)
    v2.page.get_by_text("warmup: 1 batch").first.wait_for(timeout=300_000)  # in the log: it trains now
    v2.choose_in_menu("Cancel")
    v2.button("Cancel Flow Run").click()
    v2.see_state("Cancelled")
    assert serving.api.wait(run)["state_type"] == "CANCELLED"
