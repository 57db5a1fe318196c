"""Preference training gives what TRL's DPOTrainer gives: losses, accuracies, margins and weights, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from trl import DPOConfig, DPOTrainer

from configs.training import TrainingConfig
from models.checkpoint import CheckpointRef, load
from models.training.examples import Example, PreferencePair
from models.training.loop.ordering import TrainingOrder
from models.training.train import train
from steca.preferences import PreferenceLoss
from tests.support.policy_toys import conversation, encode, said, turn, untrained
from tests.support.preference_toys import preferences

SEED, STEPS, BATCH, RATE = 3, 8, 4, 3e-3


def single_turns(count: int) -> list[PreferencePair]:
    """Pairs that TRL can express: one target turn each, after a history of one to three turns."""
    found = []
    for seed in range(count):
        history = [*conversation(seed, seed % 3), *said("Visit drawer 2.")]
        good, bad = turn("drawer 2"), turn("shelf 3") if seed % 2 else "Nothing to say."
        flags = [*[False] * (seed % 3), True]
        sides = [
            Example(text, [*history, {"role": "assistant", "content": text}], flags) for text in (good, bad)
        ]
        found.append(PreferencePair(f"p{seed}", *sides))
    return found


def by_trl(folder: Path, given: list[PreferencePair], beta: float, sft_weight: float, parts: int) -> Any:
    """TRL's trainer after its training on the same batches. It tokenizes with the chat template itself."""
    model, words = load(untrained())
    lengths = [max(len(encode(words, e, 1000)["input_ids"]) for e in (p.chosen, p.rejected)) for p in given]
    order = list(TrainingOrder(lengths, BATCH, STEPS, SEED))
    rows = [
        {
            "prompt": list(given[i].chosen.messages[:-1]),
            "chosen": list(given[i].chosen.messages[-1:]),
            "rejected": list(given[i].rejected.messages[-1:]),
        }
        for i in order
    ]
    arguments = DPOConfig(
        output_dir=str(folder),
        loss_type=["sigmoid", "sft"] if sft_weight else ["sigmoid"],
        loss_weights=[1.0, sft_weight] if sft_weight else None,
        beta=beta,
        max_length=None,
        max_steps=STEPS,
        per_device_train_batch_size=BATCH // parts,
        gradient_accumulation_steps=parts,
        learning_rate=RATE,
        lr_scheduler_type="cosine",
        warmup_steps=1,
        gradient_checkpointing=False,
        train_sampling_strategy="sequential",
        bf16=False,
        use_cpu=True,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    reference = load(untrained())[0]
    trainer = DPOTrainer(
        model, reference, arguments, train_dataset=datasets.Dataset.from_list(rows), processing_class=words
    )
    trainer.train()
    return trainer


def trained_weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def weights_of(ref: CheckpointRef) -> torch.Tensor:
    return trained_weights(load(ref)[0])


@pytest.mark.parametrize(
    ("beta", "per_token", "parts"), [(0.1, 0.0, 1), (0.5, 0.0, 2), (0.1, 1.0, 1)], ids=["dpo", "parts", "sft"]
)
def test_it_is_what_trl_trains(tmp_path: Path, beta: float, per_token: float, parts: int) -> None:
    """TRL's supervised term is a mean per token, ours a sum: all chosen turns have equally many tokens here, so the
    weights differ by that number."""
    given = single_turns(8)
    words = load(untrained())[1]
    (tokens,) = {sum(label >= 0 for label in encode(words, p.chosen, 1000)["labels"]) for p in given}
    trl = by_trl(tmp_path / "trl", given, beta, per_token, parts)
    config = TrainingConfig(steps=STEPS, batch_size=BATCH, learning_rate=RATE, gradient_accumulation=parts)
    loss = PreferenceLoss(beta=beta, sft_weight=per_token / tokens)
    data = preferences(given, tmp_path / "cache", loss=loss)
    ours = train(untrained(), data, config, tmp_path, SEED, "cpu")
    logs = [log for log in trl.state.log_history if "loss" in log]
    for name, of in [
        ("loss", "loss"),
        ("gradient_norm", "grad_norm"),
        ("learning_rate", "learning_rate"),
        ("preference_margin", "rewards/margins"),
    ]:
        mine = [getattr(point, name) for point in ours.curve]
        assert mine == pytest.approx([log[of] for log in logs], rel=1e-3, abs=1e-4), name
    # before anything is learned the margins are zero but for rounding, and so is what their signs say
    assert [p.preference_accuracy for p in ours.curve[2:]] == [log["rewards/accuracies"] for log in logs[2:]]
    assert torch.allclose(weights_of(ours.ref), trained_weights(trl.model), atol=1e-4)
    assert (weights_of(ours.ref) - weights_of(untrained())).abs().max() > 5e-3
    assert ours.curve[-1].loss < ours.curve[0].loss
