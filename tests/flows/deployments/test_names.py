"""A name that a person typed stays; one that Prefect made up does not."""

from __future__ import annotations

import pytest
from prefect.utilities.names import generate_slug

from flows.deployments.names import PROVISIONAL, is_generated, run_name


def test_every_name_of_the_server_is_known() -> None:
    assert [name for name in (generate_slug(2) for _ in range(500)) if not is_generated(name)] == []


@pytest.mark.parametrize("name", ["Rustic-Cat", "xi367-vulpeculae", "delta3-algol-nebula", "kappa4-taira-h"])
def test_the_forms_suggestions_are_known(name: str) -> None:
    assert is_generated(name)


@pytest.mark.parametrize(
    "name", ["nightly", "my-run", "My run", "before the talk", "quickstart-867b1234", "test-2", "x", "delta"]
)
def test_what_people_type_is_kept(name: str) -> None:
    assert not is_generated(name)


def test_a_provisional_name_gives_way() -> None:
    assert is_generated(run_name("newest", "rewards", 1) + PROVISIONAL)


def test_a_name_says_stage_round_and_run() -> None:
    assert run_name("quick-1") == "quick-1"
    assert run_name("quick-1", "warmup") == "warmup · quick-1"
    assert run_name("quick-1", "rewards", 2) == "rewards r2 · quick-1"
    assert not is_generated(run_name("quick-1", "rewards", 2))
