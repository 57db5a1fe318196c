"""A person runs one stage of a known run again, with another threshold."""

from __future__ import annotations

from collections.abc import Callable

from configs.stages import STAGES
from storage.runs import RunFolder
from tests.ui.screens import Screens
from tests.ui.serving import Serving


def test_a_stage_is_run_again_with_another_threshold_and_what_follows(
    v2: Screens, serving: Serving, finished: str, picture: Callable[..., None]
) -> None:
    known = serving.run_id()
    v2.open_form("rerun-rewards")
    v2.choose("run", known)
    v2.field("following").get_by_role("switch").click()
    v2.add_change("deviation.delta=-0.5")
    picture("rerun", 1100)
    v2.submit()
    run = v2.started("rerun-rewards")
    v2.open_run(run)
    v2.see_state("Completed")
    derived = serving.run_id("deviation.delta=-0.5")
    v2.page.get_by_text(f"rewards r1 · {derived}", exact=True).first.wait_for()
    stages = {state.stage: state for state in RunFolder(serving.data_dir, derived).stages()}
    before = {state.stage: state for state in RunFolder(serving.data_dir, known).stages()}
    assert {stage: state.status for stage, state in stages.items()} == dict.fromkeys(STAGES, "completed")
    assert stages["explore"].batches == before["explore"].batches
    assert stages["rewards"].batches != before["rewards"].batches
