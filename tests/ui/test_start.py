"""A person finds the deployments, and starts the right thing with one changed field."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from configs.stages import STAGES
from tests.ui.screens import Screens
from tests.ui.serving import QUICKSTART, Serving


def test_the_list_of_deployments_reads_well(v2: Screens, picture: Callable[..., None]) -> None:
    v2.open("/deployments?limit=25")
    for name in (QUICKSTART, "alfworld-llama3-8b", "compare", *(f"rerun-{stage}" for stage in STAGES)):
        v2.page.get_by_role("link", name=name, exact=True).first.wait_for()
    picture("deployments", 1100)


def test_a_run_starts_with_one_changed_field_and_its_name_is_its_id(
    each: Screens, serving: Serving, finished: str, picture: Callable[..., None]
) -> None:
    each.open_form(QUICKSTART)
    each.fill("threshold", "0.25")
    picture("form", 1500)
    each.submit()
    run = each.started(QUICKSTART)
    each.open_run(run)
    each.see_state("Completed")
    expected = serving.run_id("deviation.delta=0.25")
    each.page.get_by_text(expected, exact=True).first.wait_for()
    found = serving.api.run(run)
    assert found["name"] == expected
    assert found["parameters"]["threshold"] == 0.25


def test_the_file_of_a_comparison_is_chosen_from_a_list(each: Screens, serving: Serving) -> None:
    each.open_form("compare")
    other = str(serving.folder / "configs" / "compare" / "learning.yaml")
    each.choose("file", other)
    each.field("file").get_by_text(other, exact=True).first.wait_for()


def test_a_name_that_was_typed_stays(v2: Screens, finished: str) -> None:
    v2.open_form(QUICKSTART)
    v2.name_run("for the paper")
    v2.submit()
    v2.open_run(v2.started(QUICKSTART))
    v2.see_state("Completed")
    v2.page.get_by_text("for the paper", exact=True).first.wait_for()


def test_what_excludes_each_other_is_refused_in_the_form(each: Screens, serving: Serving) -> None:
    before = len(serving.api.post("/flow_runs/filter"))
    each.open_form(QUICKSTART)
    each.choose("preset", "sequential")
    each.choose("mode", "curtailed")
    each.submit()
    each.page.get_by_text("'curtailed' is not one of ['fixed', 'sequential']").first.wait_for()
    assert each.button("Submit").is_visible()
    assert len(serving.api.post("/flow_runs/filter")) == before


@pytest.mark.parametrize(
    ("threshold", "said"), [("2", r"less than or equal to 1|maximum of 1"), ("-3", "-1")], ids=["2", "-3"]
)
def test_a_value_out_of_range_is_refused_in_the_form(
    each: Screens, serving: Serving, threshold: str, said: str
) -> None:
    before = len(serving.api.post("/flow_runs/filter"))
    each.open_form(QUICKSTART)
    each.fill("threshold", threshold)
    each.submit()
    each.see_refusal("threshold", said)
    assert len(serving.api.post("/flow_runs/filter")) == before
