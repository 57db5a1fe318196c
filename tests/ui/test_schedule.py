"""A nightly schedule, and an edited parameter, are still there after serve was stopped and started."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.ui.screens import Screens
from tests.ui.serving import QUICKSTART, Serving


@pytest.fixture
def restored(serving: Serving) -> Iterator[None]:
    """Afterwards the deployment is again as the configuration says, without a schedule."""
    before = serving.api.deployments()[QUICKSTART]
    yield
    path = f"/deployments/{before['id']}"
    for schedule in serving.api.deployments()[QUICKSTART]["schedules"]:
        serving.api.call("DELETE", f"{path}/schedules/{schedule['id']}")
    serving.api.call("PATCH", path, {"parameters": before["parameters"]})


@pytest.mark.usefixtures("restored")
def test_a_schedule_and_an_edited_parameter_survive_a_restart(
    each: Screens, serving: Serving, picture: Callable[..., None]
) -> None:
    page, deployment = each.page, serving.page_of(QUICKSTART)
    each.open(deployment)
    each.open_schedule("0 2 * * *", "seed")
    page.get_by_text("At 02:00 AM").wait_for()
    each.choose_type("seed", "str")
    each.choose("seed", "next")
    picture("schedule")
    each.button("Save").click()
    each.button("Save").wait_for(state="detached")
    page.get_by_text("At 02:00 AM").first.wait_for()

    each.choose_in_menu("Edit")
    each.field("unseen").wait_for()
    each.fill("unseen", "1")
    each.button("Save").click()
    page.wait_for_url(lambda address: "/edit" not in address)

    serving.ctrl_c()
    serving.start()
    kept = [line for line in serving.log.read_text().splitlines() if "as edited in the UI" in line]
    assert [line.strip() for line in kept] == [f"{QUICKSTART}: unseen stays 1, as edited in the UI"]
    each.open(deployment)
    page.get_by_text("At 02:00 AM").first.wait_for()
    found = serving.api.deployments()[QUICKSTART]
    [schedule] = found["schedules"]
    assert schedule["active"]
    assert schedule["parameters"] == {"seed": "next"}
    each.open_form(QUICKSTART)
    assert each.field("unseen").locator("input").input_value() == "1"
