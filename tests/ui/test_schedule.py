"""A nightly schedule, and an edited parameter, are still there after serve was stopped and started."""

from __future__ import annotations

from collections.abc import Callable

from tests.ui.screens import Screens
from tests.ui.serving import QUICKSTART, Serving


def test_a_schedule_and_an_edited_parameter_survive_a_restart(
    v2: Screens, serving: Serving, picture: Callable[..., None]
) -> None:
    page, deployment = v2.page, serving.page_of(QUICKSTART)
    v2.open(deployment)
    v2.button("Schedule").click()
    page.get_by_role("tab", name="Cron").click()
    page.get_by_role("textbox", name="Value").fill("0 2 * * *")
    page.get_by_text("At 02:00 AM").wait_for()
    v2.field("seed").get_by_role("tab", name="str").click()
    v2.choose("seed", "next")
    picture("schedule")
    v2.button("Save").click()
    page.get_by_role("dialog", name="Add Schedule").wait_for(state="detached")
    page.get_by_text("At 02:00 AM").first.wait_for()

    v2.choose_in_menu("Edit")
    v2.field("unseen").wait_for()
    v2.fill("unseen", "1")
    v2.button("Save").click()
    page.wait_for_url(lambda address: "/edit" not in address)

    serving.ctrl_c()
    serving.start()
    assert f"{QUICKSTART}: unseen stays 1, as edited in the UI" in serving.log.read_text()
    v2.open(deployment)
    page.get_by_text("At 02:00 AM").first.wait_for()
    found = serving.api.deployments()[QUICKSTART]
    [schedule] = found["schedules"]
    assert schedule["active"]
    assert schedule["parameters"] == {"seed": "next"}
    v2.open_form(QUICKSTART)
    assert v2.field("unseen").locator("input").input_value() == "1"
