"""The trainer: which tokens count, with which weight, over which trajectories; and that it learns."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, GraniteConfig, PreTrainedConfig

from configs.training import TrainingConfig
from models.checkpoint import CheckpointRef, load
from models.local.transformers_policy import TransformersPolicy
from models.policy import PolicyFault, Sampling
from models.training.encoding import IGNORED, Collator
from models.training.examples import Example
from models.training.loop.ordering import FILLER, TrainingOrder
from models.training.objectives.losses import trajectory_losses
from models.training.train import TrainResult, train
from tests.support.policy_toys import (
    SIZES,
    conversation,
    encode,
    examples,
    rewriting_model,
    said,
    tokenizer,
    trained,
    turn,
    untrained,
)


def run(root: Path, given: list[Example], seed: int = 0, **config: object) -> TrainResult:
    return train(untrained(), given, TrainingConfig.model_validate(config), root, seed, "cpu")


def run_rewriting(root: Path, given: list[Example], **config: object) -> TrainResult:
    return train(rewriting_model(), given, TrainingConfig.model_validate(config), root, 0, "cpu")


def written(labels: list[int]) -> str:
    return tokenizer().decode([label for label in labels if label != IGNORED])


def weights_of(ref: CheckpointRef) -> torch.Tensor:
    return torch.cat([p.flatten() for p in load(ref)[0].parameters()])


def nll(example: Example) -> list[float]:
    """-log p of each target token under the untrained model, computed one by one."""
    model, words = load(untrained())
    item = encode(words, example, 1000)
    with torch.no_grad():
        logits = model(torch.tensor([item["input_ids"]])).logits[0]
    spots = [i for i, label in enumerate(item["labels"]) if label != IGNORED]
    return [-torch.log_softmax(logits[i - 1], 0)[item["labels"][i]].item() for i in spots]


THREE = [
    Example("one", conversation(1, 1), [True], 1.0),
    Example("two", conversation(2, 3), [False, True, True], 1.7),
    Example("three", conversation(3, 2), [True, True], 0.25),
]


def test_only_target_turns_and_the_token_that_ends_them_are_trained_on() -> None:
    messages = said(
        "You see shelf 1.", turn("shelf 1"), "Nothing.", turn("drawer 2"), "Oh.", turn("shelf 3"), "Won."
    )
    item = encode(tokenizer(), Example("e", messages, [True, False, True]), 1000)
    assert written(item["labels"]) == turn("shelf 1") + "<|end|>" + turn("shelf 3") + "<|end|>"
    assert all(
        label in (IGNORED, token) for label, token in zip(item["labels"], item["input_ids"], strict=True)
    )
    before = "<s><|user|>You see shelf 1.<|end|><|assistant|>"
    first = next(i for i, label in enumerate(item["labels"]) if label != IGNORED)
    assert tokenizer().decode(item["input_ids"][:first]) == before


def test_the_context_is_whole_and_what_follows_the_last_target_is_left_out() -> None:
    messages = said("You see shelf 1.", turn("shelf 1"), "Nothing.", turn("drawer 2"), "The end.")
    item = encode(tokenizer(), Example("e", messages, [True, False]), 1000)
    assert tokenizer().decode(item["input_ids"]) == (
        f"<s><|user|>You see shelf 1.<|end|><|assistant|>{turn('shelf 1')}<|end|>"
    )
    late = encode(tokenizer(), Example("e", messages, [False, True]), 1000)
    assert (
        tokenizer()
        .decode(late["input_ids"])
        .endswith(f"Nothing.<|end|><|assistant|>{turn('drawer 2')}<|end|>")
    )
    assert written(late["labels"]) == turn("drawer 2") + "<|end|>"


def test_padding_is_neither_seen_nor_trained_on() -> None:
    items = [encode(tokenizer(), e, 1000) for e in THREE]
    batch = Collator(0)(items)
    for row, item in enumerate(items):
        size = len(item["input_ids"])
        assert batch["attention_mask"][row].tolist() == [1] * size + [0] * (batch["labels"].shape[1] - size)
        assert (batch["labels"][row, size:] == IGNORED).all()
    assert batch["weights"].tolist() == pytest.approx([1.0, 1.7, 0.25])


@pytest.mark.parametrize("loss", ["sum", "mean"])
def test_the_loss_is_the_mean_over_trajectories_of_weight_times_their_tokens(tmp_path, loss: str) -> None:
    per_token = [nll(example) for example in THREE]
    assert [len(tokens) for tokens in per_token] != [len(per_token[0])] * 3
    each = [sum(t) if loss == "sum" else sum(t) / len(t) for t in per_token]
    by_hand = (1.0 * each[0] + 1.7 * each[1] + 0.25 * each[2]) / 3
    result = run(tmp_path, THREE, steps=1, batch_size=3, loss=loss)
    assert result.curve[0].loss == pytest.approx(by_hand, rel=1e-5)
    assert result.target_tokens == sum(map(len, per_token))
    assert sum(each) / 3 != pytest.approx(by_hand, rel=1e-2), "the weights make no difference here"


def test_the_gradient_is_that_of_the_weighted_loss(tmp_path) -> None:
    model, words = load(untrained())
    batch = Collator(0)([encode(words, e, 1000) for e in THREE])
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    losses = trajectory_losses(model, inputs, batch["labels"], "sum")
    (losses * batch["weights"]).mean().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0).step()
    config = {"steps": 1, "batch_size": 3, "learning_rate": 1e-2, "warmup_ratio": 0.0}
    result = run(tmp_path, THREE, **config, schedule="constant_with_warmup")
    expected = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert torch.allclose(weights_of(result.ref), expected, atol=2e-4)
    assert not torch.allclose(weights_of(untrained()), expected, atol=2e-3)


@pytest.mark.parametrize("parts", [2, 4])
def test_micro_batches_give_the_same_step_also_for_an_incomplete_batch(tmp_path, parts: int) -> None:
    given = [Example(f"e{i}", conversation(i, 1 + i % 3), [True] * (1 + i % 3), 0.2 + i) for i in range(11)]
    config = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3}
    whole = run(tmp_path / "whole", given, **config)
    pieces = run(tmp_path / "parts", given, **config, gradient_accumulation=parts)
    assert [p.loss for p in pieces.curve] == pytest.approx([p.loss for p in whole.curve], rel=1e-4)
    assert len(whole.curve) == 4
    assert torch.allclose(weights_of(whole.ref), weights_of(pieces.ref), atol=1e-4)


def test_an_example_of_weight_zero_has_no_say(tmp_path) -> None:
    pair = [THREE[0], Example("mute", conversation(9, 3), [True] * 3, 0.0)]
    other = [THREE[0], Example("mute", conversation(8, 3), [True] * 3, 0.0)]
    one, two = run(tmp_path, pair, steps=2, batch_size=2), run(tmp_path, other, steps=2, batch_size=2)
    assert one.curve[0].loss == pytest.approx(sum(nll(THREE[0])) / 2, rel=1e-5)
    assert torch.allclose(weights_of(one.ref), weights_of(two.ref), atol=1e-5)


def test_the_same_seed_gives_the_same_digest_and_another_seed_another(tmp_path) -> None:
    config = {"steps": 4, "batch_size": 4}
    one, two = run(tmp_path / "a", examples(12), 5, **config), run(tmp_path / "b", examples(12), 5, **config)
    other = run(tmp_path / "a", examples(12), 6, **config)
    assert one.ref.digest == two.ref.digest != other.ref.digest
    assert one.curve == two.curve


def test_the_model_learns_to_copy() -> None:
    chance = 2 * math.log(12)  # two names in a turn, of twelve; a model that cannot copy stays above
    assert trained().curve[0].loss > 2 * chance
    assert trained().curve[-1].loss < chance / 10
    policy = TransformersPolicy.from_checkpoint(trained().ref, "cpu")
    asked = [conversation(5000 + i, 1) for i in range(60)]
    said_now = policy.act([c[:1] for c in asked], [0] * 60, Sampling())
    assert sum(g.text == c[1]["content"] for g, c in zip(said_now, asked, strict=True)) >= 55


def test_the_learning_rate_warms_up_and_follows_the_schedule(tmp_path) -> None:
    config = {"steps": 10, "batch_size": 2, "learning_rate": 0.01, "warmup_ratio": 0.2}
    cosine = [p.learning_rate for p in run(tmp_path, examples(4, 1), **config).curve]
    flat = [
        p.learning_rate
        for p in run(tmp_path, examples(4, 1), **config, schedule="constant_with_warmup").curve
    ]
    assert flat == pytest.approx([0.0, 0.005] + [0.01] * 8)
    assert cosine == pytest.approx([0.0, 0.005] + [0.005 * (1 + math.cos(math.pi * i / 8)) for i in range(8)])


def test_epochs_cover_every_example_and_progress_is_reported(tmp_path) -> None:
    told: list[tuple[int, int]] = []
    config = TrainingConfig(epochs=2, batch_size=4)
    train(
        untrained(), examples(10, 1), config, tmp_path, 0, "cpu", lambda done, of, _: told.append((done, of))
    )
    assert told == [(i, 6) for i in range(1, 7)]


def test_batches_hold_similar_lengths_in_random_order_and_every_example_once() -> None:
    lengths = [(37 * i) % 101 for i in range(99)]
    order = list(TrainingOrder(lengths, 8, 13, seed=0))
    assert sorted(order) == [FILLER] * 5 + list(range(99))
    batches = [[lengths[i] for i in order[k : k + 8]] for k in range(0, 96, 8)]
    assert max(max(b) - min(b) for b in batches) < 20
    firsts = [b[0] for b in batches]
    assert firsts not in (sorted(firsts), sorted(firsts, reverse=True))


def test_bfloat16_trains_under_autocast_and_is_saved_as_the_dtype_of_later_rollouts(tmp_path) -> None:
    config = {"steps": 4, "batch_size": 4, "learning_rate": 3e-3}
    exact = run(tmp_path, examples(8, 1), **config)
    result = run(tmp_path, examples(8, 1), **config, dtype="bfloat16")
    assert AutoModelForCausalLM.from_pretrained(result.ref.path).dtype == torch.bfloat16
    assert result.curve[-1].loss < result.curve[0].loss
    assert result.curve[0].loss == pytest.approx(exact.curve[0].loss, rel=1e-2)
    assert result.curve[0].loss != exact.curve[0].loss, "this was not computed in bfloat16"


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (Example("game-7", conversation(1), [False] * 3), "game-7 has no target turn"),
        (Example("game-7", conversation(1), [True]), "game-7 has 3 assistant messages but 1 targets"),
        (
            Example("game-7", conversation(1, 20), [True] * 20),
            r"game-7 has \d+ tokens, more than max_tokens = 60",
        ),
    ],
)
def test_an_unusable_example_is_refused_by_name(tmp_path, example: Example, message: str) -> None:
    with pytest.raises(PolicyFault, match=message):
        run(tmp_path, [THREE[0], example], steps=1, max_tokens=60)


def test_an_empty_training_set_is_refused(tmp_path) -> None:
    with pytest.raises(PolicyFault, match="training set is empty"):
        run(tmp_path, [], steps=1)


def nll_by_turns(example: Example) -> list[float]:
    """-log p of each target token after its turn's own prompt, one by one."""
    model, words = load(rewriting_model())
    ends = words.eos_token_id
    found = []
    for place in [2 * i + 1 for i, target in enumerate(example.targets) if target]:
        prompt = words.apply_chat_template(
            list(example.messages[:place]), add_generation_prompt=True, return_dict=False
        )
        answer = [*words(example.messages[place]["content"], add_special_tokens=False)["input_ids"], ends]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        found += [-logits[len(prompt) + i - 1][token].item() for i, token in enumerate(answer)]
    return found


@pytest.mark.parametrize("loss", ["sum", "mean"])
def test_a_trajectory_in_several_sequences_is_one_trajectory_in_the_loss(tmp_path, loss: str) -> None:
    """Under a template that rewrites earlier turns, which 0.3.0 refused."""
    per_token = [nll_by_turns(example) for example in THREE]
    each = [sum(t) if loss == "sum" else sum(t) / len(t) for t in per_token]
    by_hand = (1.0 * each[0] + 1.7 * each[1] + 0.25 * each[2]) / 3
    result = run_rewriting(tmp_path, THREE, steps=1, batch_size=3, loss=loss)
    assert result.curve[0].loss == pytest.approx(by_hand, rel=1e-5)
    assert (result.examples, result.target_tokens) == (3, sum(map(len, per_token)))
    lengths = [encode(load(rewriting_model())[1], example, 1000)["lengths"] for example in THREE]
    assert [len(some) for some in lengths] == [1, 2, 2]


def test_several_sequences_in_parts_are_the_same_step(tmp_path) -> None:
    given = [Example(f"e{i}", conversation(i, 1 + i % 3), [True] * (1 + i % 3), 0.2 + i) for i in range(11)]
    config = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3}
    whole = run_rewriting(tmp_path / "whole", given, **config)
    pieces = run_rewriting(tmp_path / "parts", given, **config, gradient_accumulation=4)
    assert [p.loss for p in pieces.curve] == pytest.approx([p.loss for p in whole.curve], rel=1e-4)
    assert torch.allclose(weights_of(whole.ref), weights_of(pieces.ref), atol=1e-4)
    other = run(tmp_path / "other", given, **config)
    assert [p.loss for p in other.curve] != pytest.approx([p.loss for p in whole.curve], rel=1e-4)


@pytest.mark.parametrize(
    "config",
    [GraniteConfig(**SIZES, logits_scaling=8.0), Gemma2Config(**SIZES, final_logit_softcapping=2.0)],
    ids=lambda config: config.model_type,
)
def test_what_a_model_does_to_its_logits_enters_the_loss(config: PreTrainedConfig) -> None:
    model = AutoModelForCausalLM.from_config(config).eval()
    batch = Collator(0)([encode(tokenizer(), e, 1000) for e in THREE])
    labels, inputs = batch.pop("labels"), {k: v for k, v in batch.items() if k != "weights"}
    logits = model(**inputs).logits[:, :-1].transpose(1, 2)
    expected = torch.nn.functional.cross_entropy(logits, labels[:, 1:], reduction="none").sum(1)
    assert torch.allclose(trajectory_losses(model, inputs, labels, "sum"), expected, rtol=1e-4)
