"""What a person does on the screens of Prefect's two UIs."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.ui.serving import SECONDS, Serving

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PREFIX = {"V2": "/v2", "V1": ""}
"""By UI, the beginning of its addresses."""
LONG = SECONDS * 1000
"""Milliseconds in which a run on a busy machine ends."""
CONFIRM = {
    "V2": {"Cancel": "Cancel Flow Run", "Retry": "Retry", "Resume": "Resume"},
    "V1": {"Cancel": "Confirm", "Retry": "Retry", "Resume": "Submit"},
}
"""By UI and what is done with a run, the button of its dialog."""


class Screens:
    """One UI of a served factory, in a page of the browser."""

    def __init__(self, page: Page, serving: Serving, ui: str = "V2") -> None:
        self.page, self.serving, self.ui = page, serving, ui

    def open(self, path: str) -> None:
        self.page.goto(f"{self.serving.url}{PREFIX[self.ui]}{path}")

    def open_form(self, deployment: str) -> None:
        """The form that starts a run of a deployment, by the clicks of a person: Run, Custom run."""
        self.open(self.serving.page_of(deployment))
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_text("Custom run", exact=True).click()
        self.button("Submit").wait_for()
        self.field("data_dir").wait_for()

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog").or_(self.page.get_by_role("alertdialog"))

    def label(self, name: str) -> Locator:
        """The name of a field."""
        label = self.page.locator(f"xpath=//label[starts-with(normalize-space(.), '{name}')]")
        return label.or_(self.page.get_by_text(re.compile(rf"^{re.escape(name)}( \(Optional\))?$"))).first

    def field(self, name: str) -> Locator:
        """What belongs to a field, after its name and description."""
        return self.label(name).locator("xpath=following::fieldset[1]")

    def fill(self, name: str, value: str) -> None:
        self.field(name).locator("input, textarea").first.fill(value)

    def choose(self, name: str, value: str) -> None:
        """Choose from the list of a field."""
        self._choose(self.field(name).get_by_role("button").last, value)

    def choose_type(self, name: str, kind: str) -> None:
        """Choose the tab of a field that takes values of several types."""
        self.label(name).locator(f"xpath=following::button[normalize-space(.)='{kind}'][1]").click()

    def _choose(self, button: Locator, value: str) -> None:
        if self.ui == "V1":
            button.press("ArrowDown")  # a click from a test does not open the list
            self.page.locator(".p-select-option", has_text=re.compile(f"^{re.escape(value)}$")).click()
        else:
            button.click()
            self.page.get_by_role("option", name=value, exact=True).click()

    def close_list(self) -> None:
        """Close the list of a field that takes several values."""
        self.page.keyboard.press("Escape")
        if self.ui == "V2":  # where a click only closes the list as long as it is there; V1 leaves it open
            self.page.locator("[role=option]").first.wait_for(state="hidden")

    def add_change(self, change: str) -> None:
        """Add an item to the list `changes`."""
        fields = self.field("changes")
        fields.get_by_role("button", name="Add item").click()
        fields.locator("input, textarea").last.fill(change)

    def submit(self) -> None:
        self.button("Submit").click()

    def see_refusal(self, name: str, said: str) -> None:
        """Wait for a message that matches: the browser's own at the field, or the server's."""
        box = self.field(name).locator("input").first
        own = box.evaluate("field => field.validationMessage")
        if not re.search(said, own):
            self.page.get_by_text(re.compile(said)).first.wait_for()

    def name_run(self, name: str) -> None:
        self._input_after("Run Name").fill(name)

    def _input_after(self, text: str) -> Locator:
        return self.page.locator(f"xpath=//*[normalize-space(text())='{text}']/following::input[1]")

    def open_run(self, run: str, tab: str = "") -> None:
        """The page of a run."""
        self.open(f"/runs/flow-run/{run}")
        if tab:
            name = self.page.get_by_role("tab", name=tab, exact=True)
            name.or_(self.page.get_by_role("listitem").get_by_text(tab, exact=True)).first.click()

    def see_state(self, state: str) -> None:
        """Wait until the page of a run shows a state."""
        self.page.get_by_text(state, exact=True).first.wait_for(timeout=LONG)

    def see_message(self, run: str, text: str) -> None:
        """Wait until the details of a run show the message of its state. V1 shows its end only after a click."""
        self.open_run(run, "Details")
        if self.ui == "V1":
            self.page.get_by_text("See More", exact=True).click()
        self.page.get_by_text(text).first.wait_for()

    def see_in_list(self, path: str, run: str, state: str) -> None:
        """Wait until a page with a list of runs shows the state of a run."""
        self.open(path)
        link = self.page.get_by_role("link", name=self.serving.api.run(run)["name"], exact=True).first
        link.locator(f"xpath=following::*[normalize-space(text())='{state}'][1]").wait_for()

    def choose_in_menu(self, item: str) -> None:
        """Choose from the menu ⋮ at the top of the page of a run or a deployment."""
        if self.ui == "V1":
            self.page.get_by_role("banner").get_by_role("button").last.click()
            self.button(item).click()
        else:
            self.button("Open menu").first.click()
            self.page.get_by_role("menuitem", name=item, exact=True).click()

    def ask_to(self, action: str) -> None:
        """Open the dialog that cancels, retries or resumes a run: from the menu, in V1 with a button beside it."""
        if self.ui == "V1":
            self.button(action).click()
        else:
            self.choose_in_menu(action)

    def confirm(self, action: str) -> None:
        """Confirm what the dialog asks."""
        self.dialog.get_by_role("button", name=CONFIRM[self.ui][action], exact=True).click()

    def open_schedule(self, cron: str, *overridden: str) -> None:
        """On the page of a deployment, open the form of a schedule with parameters of its own."""
        self.button("Schedule").click()
        self.dialog.get_by_role("tab" if self.ui == "V2" else "button", name="Cron").click()
        self._input_after("Value").fill(cron)
        if self.ui == "V1":  # V2 shows all parameters
            for name in overridden:
                self._choose(self.dialog.get_by_role("button", name="Select parameters to override"), name)
            self.page.keyboard.press("Escape")

    def started(self, deployment: str) -> str:
        """Wait until the form has gone, and return the newest run of the deployment that is due."""
        self.button("Submit").wait_for(state="detached")
        made = self.serving.api.deployments()[deployment]["id"]
        runs = self.serving.api.post(
            "/flow_runs/filter",
            deployments={"id": {"any_": [made]}},
            flow_runs={"expected_start_time": {"before_": datetime.now(UTC).isoformat()}},
            sort="EXPECTED_START_TIME_DESC",
            limit=1,
        )
        return str(runs[0]["id"])
