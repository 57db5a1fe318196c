"""A person runs one stage of a known run again, with another threshold."""

from __future__ import annotations

from collections.abc import Callable

from configs.stages import STAGES
from storage.runs import RunFolder
from tests.ui.screens import Screens
from tests.ui.serving import Serving


def test_a_stage_is_run_again_with_another_threshold_and_what_follows(
    each: Screens, serving: Serving, finished: str, picture: Callable[..., None]
) -> None:
    known = serving.run_id()
    change = {"V2": "deviation.delta=-0.5", "V1": "deviation.delta=-0.25"}[each.ui]
    each.open_form("rerun-rewards")
    each.choose("run", known)
    each.field("following").get_by_role("switch").click()
    each.add_change(change)
    picture("rerun", 1100)
    each.submit()
    run = each.started("rerun-rewards")
    each.open_run(run)
    each.see_state("Completed")
    derived = serving.run_id(change)
    each.page.get_by_text(f"rewards r1 · {derived}", exact=True).first.wait_for()
    stages = {state.stage: state for state in RunFolder(serving.data_dir, derived).stages()}
    before = {state.stage: state for state in RunFolder(serving.data_dir, known).stages()}
    assert {stage: state.status for stage, state in stages.items()} == dict.fromkeys(STAGES, "completed")
    assert stages["explore"].batches == before["explore"].batches
    assert stages["rewards"].batches != before["rewards"].batches
