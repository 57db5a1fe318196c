"""The local engine's use of a device's memory: as much for earlier turns as fits, and a fault that says what to do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from configs.training import TrainingConfig
from models.local import transformers_policy
from models.local.kv import KVShape
from models.local.transformers_policy import TransformersPolicy, usual_cache_bytes
from models.policy import PolicyFault, Sampling
from models.training.train import train
from tests.support.policy_toys import examples, said, untrained

GIB = 2**30


def shape(device: str) -> KVShape:
    """Of Llama-3-8B in bfloat16: 128 KiB a token."""
    return KVShape(32, 8, 128, torch.bfloat16, torch.device(device))


@pytest.fixture
def free_gib(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda gib: monkeypatch.setattr(transformers_policy, "available_memory", lambda device: gib * GIB)


def test_on_a_cpu_the_cache_takes_at_most_one_gib() -> None:
    assert usual_cache_bytes(shape("cpu"), 8192) == GIB
    small = KVShape(2, 2, 32, torch.float32, torch.device("cpu"))
    assert usual_cache_bytes(small, 2048) == 512 * 512 * small.token_bytes < GIB


def test_on_a_gpu_it_takes_a_quarter_of_what_the_model_leaves(free_gib: Any) -> None:
    free_gib(60)
    assert usual_cache_bytes(shape("cuda"), 8192) == 15 * GIB


def test_on_a_gpu_it_takes_no_more_than_its_episodes_can_fill(free_gib: Any) -> None:
    free_gib(60)
    small = KVShape(2, 2, 32, torch.float32, torch.device("cuda"))
    assert usual_cache_bytes(small, 2048) == 512 * 2048 * small.token_bytes == GIB


def test_a_batch_that_does_not_fit_is_a_fault_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = TransformersPolicy.from_checkpoint(untrained(), "cpu")

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(policy.model, "forward", full)
    with pytest.raises(PolicyFault, match=r"no room for 2 turns .* 20.00 GiB.*end what else uses this GPU"):
        policy.act([said("Visit shelf 1."), said("Visit shelf 2.")], [0, 1], Sampling())


def test_other_errors_of_a_model_are_no_such_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = TransformersPolicy.from_checkpoint(untrained(), "cpu")

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(policy.model, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        policy.act([said("Visit shelf 1.")], [0], Sampling())


def test_a_training_that_does_not_fit_is_a_fault_that_says_what_to_set(tmp_path: Any) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    with pytest.raises(PolicyFault, match=r"no room for this training .* raise its gradient_accumulation"):
        train(untrained(), examples(2), TrainingConfig(steps=1, batch_size=2), tmp_path, 0, "cpu", full)
