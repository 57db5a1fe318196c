"""A training that leaves the finite numbers stops before it can do harm; one that changes nothing is known as such."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, get_scheduler

from configs.training import LoraConfig, TrainingConfig
from models.checkpoint import CheckpointRef, load, verify_checkpoint
from models.checkpoint_ref import reference
from models.local.transformers_policy import TransformersPolicy
from models.policy import PolicyFault, Sampling
from models.training.examples import Example
from models.training.loop.divergence import first_nonfinite_weight, shortened
from models.training.loop.states import newest_intact
from models.training.train import Saving, TrainResult, train, warmup_steps
from steca.vocabulary import Device
from tests.support.policy_toys import conversation, examples, overflowing_model, said, turn, untrained

FLAT = {"schedule": "constant_with_warmup", "warmup_ratio": 0.0}


def run(
    root: Path,
    given: list[Example] | None = None,
    base: CheckpointRef | None = None,
    saving: Saving | None = None,
    device: Device = "cpu",
    **config: object,
) -> TrainResult:
    settings = TrainingConfig.model_validate({"batch_size": 4, **config})
    return train(base or untrained(), given or examples(8, 1), settings, root, 0, device, saving=saving)


def weights_of(ref: CheckpointRef) -> torch.Tensor:
    return torch.cat([p.flatten() for p in load(ref)[0].parameters()])


@pytest.mark.parametrize("parts", [1, 2])
def test_a_training_that_diverges_ends_there_and_keeps_the_state_before(tmp_path: Path, parts: int) -> None:
    saving = Saving(tmp_path / "state", 1)
    with pytest.raises(PolicyFault) as caught:
        run(tmp_path / "out", saving=saving, steps=10, learning_rate=1e8, gradient_accumulation=parts)
    said = str(caught.value)
    assert "\n" not in said
    assert "training step 3 of 10: the " in said
    assert "is not a finite number (learning rate 9.6" in said
    assert "lower learning_rate or raise warmup_ratio. No checkpoint was written" in said
    state = newest_intact(tmp_path / "state")
    assert state == tmp_path / "state" / "checkpoint-2", "the state before the step that went wrong"
    assert said.endswith(f"the last intact state is {state}")
    assert first_nonfinite_weight(AutoModelForCausalLM.from_pretrained(state)) is None
    assert not (tmp_path / "out").exists()


on_a_gpu = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))


@pytest.mark.parametrize("device", ["cpu", on_a_gpu])
@pytest.mark.parametrize("parts", [1, 3])
def test_the_example_whose_loss_is_not_finite_is_named(tmp_path: Path, parts: int, device: Device) -> None:
    base = overflowing_model(tmp_path, " shelf 3")
    given = [
        Example(name, said(f"Visit {place}.", turn(place)), [True])
        for name, place in [("one", "shelf 1"), ("two", "drawer 2"), ("bad", "shelf 3")]
    ]
    with pytest.raises(PolicyFault, match=r"training step 1 of 2: the loss of bad is not a finite") as caught:
        run(tmp_path, given, base, None, device, steps=2, batch_size=3, gradient_accumulation=parts)
    assert "check these examples and the base model" in str(caught.value)
    assert "learning_rate" not in str(caught.value)
    assert run(tmp_path, given[:2], base, steps=2, batch_size=2).curve


def test_a_base_model_with_broken_weights_is_refused(tmp_path: Path) -> None:
    base = overflowing_model(tmp_path, "shelf 3", math.nan)
    with pytest.raises(
        PolicyFault, match=r"weight transformer\.wte\.weight of the base model .* is not finite"
    ):
        run(tmp_path, base=base, steps=2)


def test_a_loss_that_is_finite_but_not_its_gradient_names_the_whole_step(tmp_path: Path) -> None:
    given = [Example(f"e{i}", conversation(i, 1), [True], 1e38) for i in range(3)]
    with pytest.raises(
        PolicyFault, match=r"step 1 of 2: the gradient's norm \((inf|nan)\) of e\d, e\d, e\d is"
    ):
        run(tmp_path, given, steps=2, batch_size=3)


def test_weights_that_are_not_finite_are_neither_sealed_nor_saved(tmp_path: Path) -> None:
    steep = {"steps": 2, "learning_rate": 1e39, **FLAT}
    with pytest.raises(PolicyFault, match=r"training step 1 of 2: the weight \S+ is no longer finite"):
        run(tmp_path / "out", saving=Saving(tmp_path / "state", 1), **steep)
    assert newest_intact(tmp_path / "state") is None
    with pytest.raises(
        PolicyFault, match=r"after the last training step \(1\), the loss of e\d is not a finite"
    ):
        run(tmp_path / "out", **{**steep, "steps": 1})
    assert not (tmp_path / "out").exists()


def test_a_training_that_diverges_among_finite_numbers_gives_a_policy_that_answers(tmp_path: Path) -> None:
    result = run(tmp_path, steps=4, learning_rate=1000.0)
    assert not result.unchanged
    assert all(math.isfinite(point.loss) for point in result.curve)
    verify_checkpoint(result.ref)
    policy = TransformersPolicy.from_checkpoint(result.ref, "cpu")
    turns = policy.act([said("Visit shelf 1.")] * 2, [0, 1], Sampling(temperature=1.0, max_tokens=4))
    assert [turn.tokens > 0 for turn in turns] == [True, True]


@pytest.mark.parametrize("schedule", ["cosine", "constant_with_warmup", "linear"])
def test_at_least_one_step_has_a_rate(tmp_path: Path, schedule: str) -> None:
    for steps in range(1, 8):
        for ratio in (0.0, 0.03, 0.5, 0.9, 1.0):
            config = TrainingConfig(schedule=schedule, warmup_ratio=ratio)
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
            rates = get_scheduler(schedule, optimizer, warmup_steps(config, steps), steps)
            seen = []
            for _ in range(steps):
                seen += rates.get_last_lr()
                optimizer.step()
                rates.step()
            assert max(seen) > 0, (steps, ratio)
    one = run(tmp_path, steps=1, learning_rate=0.01, schedule=schedule)
    assert [point.learning_rate for point in one.curve] == [0.01]
    assert not one.unchanged
    assert one.ref.digest != untrained().digest


def test_the_warm_up_of_a_longer_training_is_as_it_was() -> None:
    for steps in (2, 3, 10, 34, 500):
        assert warmup_steps(TrainingConfig(), steps) == math.ceil(steps * 0.03)


@pytest.mark.parametrize(
    ("changes", "unchanged"),
    [
        ({"learning_rate": 1e-30}, True),
        ({"learning_rate": 1e-30, "lora": LoraConfig(rank=2)}, True),
        ({"learning_rate": 1e-12, "dtype": "bfloat16"}, True),
        ({"learning_rate": 1e-3}, False),
        ({"learning_rate": 1e-3, "lora": LoraConfig(rank=2)}, False),
    ],
)
def test_a_training_that_changes_nothing_is_known_as_such(
    tmp_path: Path, changes: dict[str, object], unchanged: bool
) -> None:
    result = run(tmp_path, steps=3, **changes)
    assert result.unchanged == unchanged
    if result.unchanged and "dtype" not in changes:
        assert torch.allclose(weights_of(result.ref), weights_of(untrained()), rtol=0, atol=1e-29)


def test_weights_are_compared_whatever_else_lies_beside_them(tmp_path: Path) -> None:
    """A folder from elsewhere has other files, so its digest says nothing about its weights."""
    model, words = load(untrained())
    folder = tmp_path / "base"
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    (folder / "README.md").write_text("a model card")
    result = run(tmp_path / "out", base=reference(folder), steps=2, learning_rate=1e-30)
    assert result.unchanged
    assert result.ref.digest != reference(folder).digest


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_value_makes_a_weight_nonfinite(value: float, dtype: torch.dtype) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 0), torch.nn.Linear(3, 300)).to(dtype)
    assert first_nonfinite_weight(model) is None
    with torch.no_grad():
        model[1].weight[170, 1] = value
    assert first_nonfinite_weight(model) == "1.weight"


def test_long_lists_of_names_are_cut() -> None:
    assert shortened(["a", "b"]) == "a, b"
    assert shortened([f"e{i}" for i in range(8)]) == "e0, e1, e2, e3, e4 and 3 more"
