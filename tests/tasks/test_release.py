"""A stage that ends gives the memory of its policy back to the device."""

from __future__ import annotations

import gc
import shutil
import weakref
from pathlib import Path

import pytest
import torch

from configs.load import check
from models.local.transformers_policy import TransformersPolicy
from models.policy import Sampling
from tasks.resources.run_resources import RunResources
from tests.support.policy_toys import said, trained, untrained


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows whenever torch is asked to give unused memory of a GPU back."""
    trained()  # its training gives memory back too
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty_cache"))
    return calls


def resources_of(root: Path) -> RunResources:
    for ref in (trained().ref, untrained()):
        shutil.copytree(ref.path, root / "checkpoints" / ref.digest[:16])
    return RunResources(check({"data_dir": str(root), "execution": {"device": "cpu"}}, "test"))


def act(resources: RunResources, digest: str) -> weakref.ref[torch.nn.Module]:
    """Let a policy write a turn; its model."""
    resources.policy(digest).act([said("Visit shelf 1.")], [0], Sampling(max_tokens=2))
    policy = resources._policy
    assert isinstance(policy, TransformersPolicy)
    return weakref.ref(policy.model)


def test_the_model_is_gone_when_a_stage_has_ended(tmp_path: Path, given_back: list[str]) -> None:
    resources = resources_of(tmp_path)
    gc.disable()
    try:
        model = act(resources, untrained().digest)
        assert model() is not None
        assert not given_back
        resources.close()
        assert model() is None
    finally:
        gc.enable()
    assert given_back == ["empty_cache"]


def test_the_model_is_gone_before_the_next_one_is_loaded(tmp_path: Path, given_back: list[str]) -> None:
    resources = resources_of(tmp_path)
    first = act(resources, untrained().digest)
    again = act(resources, untrained().digest)
    assert first() is again() is not None
    assert not given_back, "the same policy stays loaded"
    second = act(resources, trained().ref.digest)
    assert first() is None
    assert second() is not None
    assert given_back == ["empty_cache"]


def test_a_stage_that_played_nothing_gives_nothing_back(tmp_path: Path, given_back: list[str]) -> None:
    resources_of(tmp_path).close()
    assert not given_back
