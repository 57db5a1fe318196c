"""Preference training: the loss by its formula, in whatever parts it is computed; its limits, states and faults."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import get_scheduler

from configs.training import LoraConfig, TrainingConfig
from models.checkpoint import CheckpointRef, load
from models.policy import PolicyFault
from models.training.encoding import IGNORED
from models.training.examples import Example, PreferencePair
from models.training.loop.ordering import FILLER, TrainingOrder
from models.training.objectives.preferences import Preferences
from models.training.train import Saving, TrainResult, train
from models.training.training_data import content, from_job, to_job
from steca.preferences import PreferenceLoss
from tests.support.policy_toys import (
    checkpoint,
    conversation,
    encode,
    overflowing_model,
    rewriting_model,
    untrained,
)
from tests.support.preference_toys import pairs, preferences, wrong_places
from tests.support.tiny_factory import ROOT

CONFIG = TrainingConfig(
    steps=6, batch_size=4, learning_rate=1e-3
)  # 7 pairs: the second batch of an epoch has 3
GIVEN = pairs(7)


def run(
    root: Path,
    data: Preferences | list[Example],
    config: TrainingConfig = CONFIG,
    base: CheckpointRef | None = None,
    saving: Saving | None = None,
) -> TrainResult:
    return train(base or untrained(), data, config, root / "out", 3, "cpu", saving=saving)


def weights_of(ref: CheckpointRef) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in load(ref)[0].parameters()])


def log_p(model: torch.nn.Module, words: object, example: Example) -> torch.Tensor:
    """Of all targets of an example, sequence by sequence, without padding."""
    item, total, start = encode(words, example, 1000), torch.zeros(()), 0
    for length in item["lengths"]:
        ids = torch.tensor(item["input_ids"][start : start + length])
        labels = torch.tensor(item["labels"][start : start + length])[1:]
        predicted = model(ids[None]).logits[0, :-1].log_softmax(-1)
        spots = (labels != IGNORED).nonzero()[:, 0]
        total = total + predicted[spots, labels[spots]].sum()
        start += length
    return total


def by_hand(
    base: CheckpointRef, given: list[PreferencePair], config: TrainingConfig, loss: PreferenceLoss
) -> tuple[list[float], list[float], torch.Tensor]:
    """A loop of its own over the same batches: losses, margins, and the final weights."""
    model, words = load(base)
    model.float()
    reference = load(base)[0].float()
    with torch.no_grad():
        fixed = [[log_p(reference, words, e) for e in (p.chosen, p.rejected)] for p in given]
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.0)
    rates = get_scheduler(config.schedule, optimizer, 1, config.steps)
    lengths = [max(len(encode(words, e, 1000)["input_ids"]) for e in (p.chosen, p.rejected)) for p in given]
    order = list(TrainingOrder(lengths, config.batch_size, config.steps, 3))
    losses, margins = [], []
    for start in range(0, len(order), config.batch_size):
        batch = [i for i in order[start : start + config.batch_size] if i != FILLER]
        total, margin = torch.zeros(()), 0.0
        for i in batch:
            chosen, rejected = (log_p(model, words, e) for e in (given[i].chosen, given[i].rejected))
            d = loss.beta * ((chosen - fixed[i][0]) - (rejected - fixed[i][1]))
            total = total + torch.log1p(torch.exp(-d)) - loss.sft_weight * chosen
            margin += d.item()
        optimizer.zero_grad()
        (total / len(batch)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rates.step()
        losses.append(total.item() / len(batch))
        margins.append(margin / len(batch))
    return losses, margins, torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("rewriting", [False, True], ids=["one sequence", "several sequences"])
@pytest.mark.parametrize("sft_weight", [0.0, 0.5])
def test_every_step_is_that_of_a_loop_written_from_the_formula(
    tmp_path: Path, sft_weight: float, rewriting: bool
) -> None:
    base = rewriting_model() if rewriting else untrained()
    loss = PreferenceLoss(beta=0.3, sft_weight=sft_weight)
    result = run(tmp_path, preferences(GIVEN, tmp_path / "cache", base, loss), base=base)
    losses, margins, weights = by_hand(base, GIVEN, CONFIG, loss)
    assert [point.loss for point in result.curve] == pytest.approx(losses, rel=1e-4)
    assert [p.preference_margin for p in result.curve] == pytest.approx(margins, rel=1e-3, abs=1e-4)
    assert torch.allclose(weights_of(result.ref), weights, atol=1e-4)
    assert (weights_of(result.ref) - weights_of(base)).abs().max() > 2e-3, (
        "the steps are larger than the tolerance"
    )
    words = load(base)[1]
    assert result.examples == 7
    assert result.target_tokens == sum(
        label != IGNORED
        for p in GIVEN
        for e in (p.chosen, p.rejected)
        for label in encode(words, e, 1000)["labels"]
    )
    several = [len(encode(words, p.chosen, 1000)["lengths"]) for p in GIVEN]
    assert (set(several) == {1}) != rewriting


def test_it_learns_to_prefer(tmp_path: Path) -> None:
    config = TrainingConfig(steps=30, batch_size=8, learning_rate=1e-3)
    curve = run(tmp_path, preferences(pairs(24), tmp_path / "cache"), config).curve
    assert curve[0].loss == pytest.approx(math.log(2), rel=1e-4)
    assert curve[0].preference_margin == pytest.approx(0, abs=1e-4)
    assert curve[-1].loss < 0.4
    assert curve[-1].preference_accuracy == 1
    assert (curve[-1].preference_margin or 0) > 0.8


@pytest.mark.parametrize("base", [untrained, rewriting_model], ids=["one sequence", "several sequences"])
@pytest.mark.parametrize("parts", [2, 4])
def test_micro_batches_give_the_same_steps(tmp_path: Path, parts: int, base: object) -> None:
    ref = base()
    data = preferences(GIVEN, tmp_path / "cache", ref, PreferenceLoss(beta=0.3, sft_weight=0.1))
    whole = run(tmp_path, data, base=ref)
    pieces = run(tmp_path, data, CONFIG.model_copy(update={"gradient_accumulation": parts}), ref)
    assert [p.loss for p in pieces.curve] == pytest.approx([p.loss for p in whole.curve], rel=1e-4)
    for name in ("preference_accuracy", "preference_margin"):
        assert [getattr(p, name) for p in pieces.curve[1:]] == pytest.approx(
            [getattr(p, name) for p in whole.curve[1:]], rel=1e-3
        ), name
    assert torch.allclose(weights_of(whole.ref), weights_of(pieces.ref), atol=1e-4)


def test_swapped_sides_are_another_training(tmp_path: Path) -> None:
    swapped = [PreferencePair(p.name, p.rejected, p.chosen) for p in GIVEN]
    config = CONFIG.model_copy(update={"steps": 12})
    one = run(tmp_path, preferences(GIVEN, tmp_path / "cache"), config)
    two = run(tmp_path, preferences(swapped, tmp_path / "cache"), config)
    assert not torch.allclose(weights_of(one.ref), weights_of(two.ref), atol=1e-3)
    assert one.ref.digest != two.ref.digest
    mine = preferences(GIVEN, tmp_path / "again", one.ref)
    still = CONFIG.model_copy(update={"steps": 1, "batch_size": 8, "learning_rate": 1e-30})
    margin = run(tmp_path, mine, still, two.ref).curve[0].preference_margin
    assert margin is not None
    assert margin < -0.5, "the swapped training prefers the other side"


def test_without_beta_it_is_the_likelihood_of_the_chosen_sides(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"batch_size": 7})
    only = PreferenceLoss(beta=1e-12, sft_weight=1.0)
    learned = run(tmp_path, preferences(GIVEN, tmp_path / "cache", loss=only), config)
    likely = run(tmp_path, [replace(p.chosen, weight=1.0) for p in GIVEN], config)
    losses = [point.loss - math.log(2) for point in learned.curve]
    assert losses == pytest.approx([point.loss for point in likely.curve], rel=1e-4)
    assert torch.allclose(weights_of(learned.ref), weights_of(likely.ref), atol=1e-4)
    both = run(tmp_path, preferences(GIVEN, tmp_path / "cache", loss=PreferenceLoss(0.1, 1.0)), config)
    assert not torch.allclose(weights_of(both.ref), weights_of(likely.ref), atol=1e-3)


def test_weights_of_examples_do_not_count(tmp_path: Path) -> None:
    heavy = [replace(p, chosen=replace(p.chosen, weight=7.0)) for p in GIVEN]
    one, two = (run(tmp_path, preferences(given, tmp_path / "cache")) for given in (GIVEN, heavy))
    assert one.ref.digest == two.ref.digest


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adapters_learn_and_start_at_margin_zero(tmp_path: Path, dtype: str) -> None:
    lora = {"lora": LoraConfig(rank=8), "dtype": dtype, "learning_rate": 1e-2, "steps": 12}
    result = run(tmp_path, preferences(GIVEN, tmp_path / "cache"), CONFIG.model_copy(update=lora))
    assert result.curve[0].preference_margin == pytest.approx(0, abs=1e-4 if dtype == "float32" else 2e-2)
    assert (result.curve[-1].preference_margin or 0) > 0.3
    assert {p.name for p in result.ref.path.iterdir()} == {p.name for p in untrained().path.iterdir()}
    before, after = (load(ref)[0].state_dict() for ref in (untrained(), result.ref))
    moved = {name for name in before if not torch.equal(before[name], after[name].float())}
    frozen = "norm", "embed"
    if dtype == "float32":
        assert moved
        assert not any(part in name for name in moved for part in frozen)


def test_a_reference_of_its_own_sets_the_margins(tmp_path: Path) -> None:
    other = checkpoint(tmp_path / "other", seed=1)
    still = CONFIG.model_copy(update={"steps": 1, "batch_size": 7, "learning_rate": 1e-30})
    curve = run(tmp_path, preferences(GIVEN, tmp_path / "cache", other), still).curve
    models = [load(ref) for ref in (untrained(), other)]
    with torch.no_grad():
        values = [[[log_p(m, w, e) for e in (p.chosen, p.rejected)] for p in GIVEN] for m, w in models]
    mine, fixed = torch.tensor(values)
    margins = 0.1 * ((mine[:, 0] - fixed[:, 0]) - (mine[:, 1] - fixed[:, 1]))
    assert curve[0].preference_margin == pytest.approx(margins.mean().item(), rel=1e-3)
    assert curve[0].preference_accuracy == pytest.approx((margins > 0).float().mean().item())
    assert 0 < curve[0].preference_accuracy < 1


KILLED = """
import os, signal, sys
from pathlib import Path
from models.checkpoint import reference
from models.training.train import Saving, train
from tests.models.training.objectives.test_preferences import CONFIG, GIVEN
from tests.support.preference_toys import preferences
root, base = Path(sys.argv[1]), reference(Path(sys.argv[2]))
die = lambda done, of, loss: os.kill(os.getpid(), signal.SIGKILL) if done == 5 else None
train(base, preferences(GIVEN, root / "cache", base), CONFIG, root / "out", 3, "cpu", die, Saving(root / "state", 2))
"""


def test_a_killed_training_resumes_and_does_not_compute_the_reference_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(untrained().path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1"},
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [p.name for p in (tmp_path / "state").iterdir()] == ["checkpoint-4"]
    whole = run(tmp_path / "whole", preferences(GIVEN, tmp_path / "whole" / "cache"))

    def again(*_: object) -> torch.Tensor:
        raise AssertionError("the reference is computed again")

    monkeypatch.setattr("models.training.objectives.references._computed", again)
    resumed = run(tmp_path, preferences(GIVEN, tmp_path / "cache"), saving=Saving(tmp_path / "state", 2))
    assert resumed.ref.digest == whole.ref.digest
    assert resumed.curve == whole.curve
    assert not (tmp_path / "state").exists()


def test_a_loss_that_is_not_finite_stops_with_the_name_of_the_pair(tmp_path: Path) -> None:
    base = overflowing_model(tmp_path / "base", " shelf 3")
    given = wrong_places("shelf 1", "shelf 3", "drawer 2")
    config = TrainingConfig(steps=2, batch_size=3)
    with pytest.raises(PolicyFault, match="training step 1 of 2: the loss of shelf 3 is not a finite number"):
        run(tmp_path, preferences(given, tmp_path / "cache"), config, base)
    assert not (tmp_path / "out").exists()
    assert run(tmp_path, preferences(wrong_places("shelf 1"), tmp_path / "cache"), config, base).curve


def test_a_reference_that_overflows_stops_before_the_first_step(tmp_path: Path) -> None:
    base = overflowing_model(tmp_path / "base", " shelf 3")
    given = wrong_places("shelf 1", "shelf 3")
    with pytest.raises(
        PolicyFault, match=r"log-probability of shelf 3 \(rejected\) under the reference model .*base"
    ):
        run(tmp_path, preferences(given, tmp_path / "cache", base), base=base)
    assert not (tmp_path / "cache").exists(), "such numbers are not kept"


def test_what_cannot_be_trained_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyFault, match="training set is empty"):
        run(tmp_path, preferences([], tmp_path / "cache"))
    none = replace(GIVEN[0], rejected=replace(GIVEN[0].rejected, targets=[False]))
    with pytest.raises(PolicyFault, match=r"p0 \(rejected\) has no target turn"):
        run(tmp_path, preferences([none], tmp_path / "cache"))
    with pytest.raises(PolicyFault, match="loss is mean, but preferences are learned from sums"):
        run(tmp_path, preferences(GIVEN, tmp_path / "cache"), CONFIG.model_copy(update={"loss": "mean"}))


def test_a_job_file_carries_preferences() -> None:
    given = preferences(GIVEN, Path("/cache").resolve(), loss=PreferenceLoss(beta=0.5, sft_weight=1.0))
    back = from_job(to_job(given))
    assert isinstance(back, Preferences)
    assert content(back) == content(given)
    assert (back.pairs[1].name, back.cache, back.reference) == ("p1", given.cache, given.reference)
    examples = [Example("e", conversation(1, 1), [True], 0.5, thinking=True)]
    assert from_job(to_job(examples)) == examples
