"""Stages warmup and train: one training run each, recorded as a checkpoint row."""

from __future__ import annotations

from storage.records import Record
from tasks.batch import Batch, batch_task

TRAINED = ("policy.prompt", "policy.thinking")
"""The settings of a policy that decide what it is trained on."""


@batch_task("warmup", version="2", reads=("seed", "environment", "policy.small", *TRAINED, "warmup"))
def warmup_batch(batch: Batch) -> list[Record]:
    """`inputs["base"]` is the digest of the model folder to start from, "" for a small model from scratch."""
    from tasks.learner import warm_up

    return [warm_up(batch)]


@batch_task("assemble", version="2", reads=("datasets",))
def assemble_batch(batch: Batch) -> list[Record]:
    from rollouts.assembling import assemble

    return [*assemble(batch.records(), batch.records("demonstrated"), batch.config.datasets)]


@batch_task("train", version="2", reads=("seed", *TRAINED, "training"))
def train_batch(batch: Batch) -> list[Record]:
    from tasks.learner import reinforce

    return [reinforce(batch)]
