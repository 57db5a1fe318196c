"""Every benchmark can be imported, and finds what it measures: they are not run with the everyday tests."""

from __future__ import annotations

import importlib

import pytest

from benchmarks.breakdown import places
from models.local.transformers_policy import TransformersPolicy
from tests.support.policy_toys import untrained
from tests.support.tiny_factory import ROOT

OFFLINE = "offline"
"""Runs in vLLM's environment."""
NAMES = sorted({path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {"__init__", OFFLINE})


def test_there_are_benchmarks() -> None:
    assert {"rollouts", "store", "learning"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_is_imported(name: str) -> None:
    assert importlib.import_module(f"benchmarks.{name}").__doc__


def test_what_the_breakdown_times_is_there() -> None:
    policy = TransformersPolicy.from_checkpoint(untrained(), "cpu")
    found = places(policy)
    assert len(found) > 5
    assert [name for owner, name, _ in found if not callable(getattr(owner, name, None))] == []
