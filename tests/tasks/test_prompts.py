"""The text of a prompt is part of a batch's cache key in every stage that a prompt has a say in, and in no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.load import check
from configs.schema import FactoryConfig
from steca.vocabulary import PromptStyle
from storage.records import Record
from storage.shards import BatchRef
from tasks.batch import Batch, BatchContext, Request
from tasks.batch_task import BatchTask, batch_task
from tasks.resources.run_resources import RunResources
from tasks.stage_tasks import (
    assemble_batch,
    calibrate_batch,
    decide_batch,
    demonstrate_batch,
    evaluate_batch,
    explore_batch,
    forced_deviations_batch,
    score_batch,
    train_batch,
    warmup_batch,
)
from tests.support.rollouts_toys import OPTIONS, Wordy, complete, demonstrated

PROMPTED = [explore_batch, score_batch, forced_deviations_batch, evaluate_batch, warmup_batch, train_batch]
OTHERS = [demonstrate_batch, assemble_batch, decide_batch, calibrate_batch]


def resources_in(folder: Path, style: PromptStyle, said: str = "Mind your manners") -> RunResources:
    settings: dict[str, Any] = {"environment": {"options": OPTIONS}, "policy": {"prompt": style}}
    resources = RunResources(check({**settings, "data_dir": str(folder)}, "test"))
    resources._world = complete(Wordy(said))
    return resources


def filed(resources: RunResources, count: int = 3) -> BatchRef:
    return resources.shards.write_batch("0" * 16, f"demonstrate-{count}", demonstrated(count))


def request_of(stage: BatchTask, resources: RunResources, count: int = 3) -> Request:
    refs = {"records": [filed(resources, count)]}
    return stage.request(resources, "all", refs, "a checkpoint", base="", round="1")


def key(
    stage: BatchTask, folder: Path, style: PromptStyle, said: str = "Mind your manners", count: int = 3
) -> Any:
    resources = resources_in(folder, style, said)
    return request_of(stage, resources, count).inputs["briefings"]


@pytest.mark.parametrize("stage", PROMPTED, ids=lambda stage: stage.name)
def test_the_text_decides_where_a_prompt_has_a_say(stage: BatchTask, tmp_path: Path) -> None:
    mine = key(stage, tmp_path, "react")
    assert mine == key(stage, tmp_path, "react")
    assert len({mine, key(stage, tmp_path, "one_shot"), key(stage, tmp_path, "react", "Be quick")}) == 3


@pytest.mark.parametrize("stage", PROMPTED, ids=lambda stage: stage.name)
def test_a_plain_prompt_adds_nothing(stage: BatchTask, tmp_path: Path) -> None:
    assert "briefings" not in request_of(stage, resources_in(tmp_path, "plain")).inputs


@pytest.mark.parametrize("stage", OTHERS, ids=lambda stage: stage.name)
def test_the_other_stages_do_not_depend_on_it(stage: BatchTask, tmp_path: Path) -> None:
    assert "briefings" not in request_of(stage, resources_in(tmp_path, "one_shot")).inputs


def test_only_the_batchs_own_tasks_count(tmp_path: Path) -> None:
    """The toy world tells each task type something else: two tasks hear less than three."""
    assert key(explore_batch, tmp_path, "react", count=2) != key(explore_batch, tmp_path, "react", count=3)


def test_a_batch_runs_again_where_the_text_is_another(prefect_api: str, tmp_path: Path) -> None:
    told: list[str] = []

    @batch_task("told", version="1", reads=("policy.prompt",))
    def told_batch(batch: Batch) -> list[Record]:
        told.append(batch.inputs.get("briefings", "nothing"))
        return batch.records()

    def run(style: PromptStyle, said: str) -> tuple[BatchRef, bool]:
        resources = resources_in(tmp_path, style, said)
        request = request_of(told_batch, resources)
        return told_batch.run(request, BatchContext(request.refs, resources), "toy 1/1")

    prompts: list[tuple[PromptStyle, str]] = [
        ("react", "Be quick"),
        ("react", "Mind your manners"),
        ("one_shot", "Be quick"),
        ("plain", ""),
    ]
    first = [run(*prompt) for prompt in prompts]
    again = [run(*prompt) for prompt in prompts]
    assert [make_prefect_task for _, make_prefect_task in first] == [False] * 4
    assert again == [(ref, True) for ref, _ in first]
    assert run("plain", "never heard") == again[3]
    assert len(set(told)) == len(told) == 4
    assert len({ref.batch_id for ref, _ in first}) == 4


def test_a_stage_that_does_not_declare_the_prompt_cannot_read_it(prefect_api: str, tmp_path: Path) -> None:
    @batch_task("deaf", version="1", reads=("seed",))
    def deaf(batch: Batch) -> list[Record]:
        assert isinstance(batch.config, FactoryConfig)
        return [batch.config.policy.prompt]  # type: ignore[list-item]

    resources = resources_in(tmp_path, "react")
    request = request_of(deaf, resources)
    with pytest.raises(AttributeError, match="policy"):
        deaf.run(request, BatchContext(request.refs, resources), "toy 1/1")
