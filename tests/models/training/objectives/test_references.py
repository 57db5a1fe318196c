"""Reference log-probabilities: exact, computed once, and never taken from a file that is not theirs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config

from configs.training import LoraConfig, TrainingConfig
from models.checkpoint import CheckpointRef, load, save_checkpoint
from models.policy import PolicyFault
from models.training.encoding import IGNORED, Encoded
from models.training.objectives import references
from models.training.objectives.references import reference_log_probabilities
from models.training.train import train
from tests.support.policy_toys import checkpoint, encode, rewriting_model, tokenizer, untrained
from tests.support.preference_toys import pairs, preferences

Change = Callable[[dict[str, Any]], object]
CONFIG = TrainingConfig()
CPU = torch.device("cpu")


def sides(base: CheckpointRef, count: int = 6) -> list[Encoded]:
    words = load(base)[1]
    return [encode(words, example, 1000) for p in pairs(count) for example in (p.chosen, p.rejected)]


class Loads:
    """Gives a reference model, and counts how often."""

    def __init__(self, ref: CheckpointRef) -> None:
        self.ref, self.count = ref, 0

    def __call__(self) -> Any:
        self.count += 1
        return load(self.ref)[0]


def computed(
    root: Path, ref: CheckpointRef, given: list[Encoded], config: TrainingConfig = CONFIG
) -> tuple[torch.Tensor, int]:
    """The numbers, and how often the model was loaded for them."""
    loads = Loads(ref)
    values = reference_log_probabilities(given, ref.digest, loads, config, 0, CPU, root)
    return values, loads.count


@pytest.mark.parametrize("base", [untrained, rewriting_model], ids=["one sequence", "several sequences"])
def test_they_are_sums_over_all_targets_of_a_side(
    tmp_path: Path, base: Callable[[], CheckpointRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, expected = sides(base()), []
    model = load(base())[0]
    for item in given:
        total, start = 0.0, 0
        for length in item["lengths"]:
            ids, labels = (torch.tensor(item[k][start : start + length]) for k in ("input_ids", "labels"))
            with torch.no_grad():
                predicted = model(ids[None]).logits[0, :-1].log_softmax(-1)
            spots = (labels[1:] != IGNORED).nonzero()[:, 0]
            total += predicted[spots, labels[1:][spots]].sum().item()
            start += length
        expected.append(total)
    assert computed(tmp_path, base(), given)[0].tolist() == pytest.approx(expected, rel=1e-5)
    monkeypatch.setattr(references, "_BATCH_TOKENS", 1)
    assert computed(tmp_path / "one", base(), given)[0].tolist() == pytest.approx(expected, rel=1e-5)


def test_batches_hold_every_sequence_once_and_no_more_than_their_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(references, "_BATCH_TOKENS", 20)
    lengths = [3, 9, 4, 4, 30, 1]
    batches = references._batches(lengths)
    assert sorted(index for batch in batches for index in batch) == list(range(6))
    assert batches == [[4], [1, 2], [3, 0, 5]]


def test_they_are_computed_without_dropout(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tokenizer()), "n_embd": 64, "n_layer": 2, "n_head": 4}
    model = AutoModelForCausalLM.from_config(GPT2Config(**sizes, resid_pdrop=0.5, embd_pdrop=0.5))
    ref = save_checkpoint(model, tokenizer(), tmp_path / "base", {})
    first, second = (computed(tmp_path / name, ref, sides(ref))[0] for name in "ab")
    assert torch.equal(first, second)
    model.train()
    assert model(torch.tensor([[5, 6]])).logits.ne(model(torch.tensor([[5, 6]])).logits).any(), "it has none"


def test_the_same_training_computes_them_once(tmp_path: Path) -> None:
    given = sides(untrained())
    first, second = (computed(tmp_path, untrained(), given) for _ in range(2))
    assert (first[1], second[1]) == (1, 0)
    assert torch.equal(first[0], second[0])
    assert len(list(tmp_path.iterdir())) == 1


def test_whatever_decides_them_has_a_file_of_its_own(tmp_path: Path) -> None:
    given, ref = sides(untrained()), untrained()
    other = checkpoint(tmp_path / "other", seed=1)
    cache = tmp_path / "cache"
    trainings: list[tuple[CheckpointRef, list[Encoded], TrainingConfig]] = [
        (ref, given, CONFIG),
        (other, given, CONFIG),
        (ref, given[:-1], CONFIG),
        (ref, given[::-1], CONFIG),
        (ref, [{**given[0], "labels": [IGNORED, *given[0]["input_ids"][1:]]}, *given[1:]], CONFIG),
        (ref, given, CONFIG.model_copy(update={"dtype": "bfloat16"})),
        (ref, given, CONFIG.model_copy(update={"dtype": "bfloat16", "lora": LoraConfig()})),
    ]
    for number, (model, examples, config) in enumerate(trainings, 1):
        assert computed(cache, model, examples, config)[1] == 1
        assert len(list(cache.iterdir())) == number
    same = CONFIG.model_copy(update={"learning_rate": 1.0, "batch_size": 64, "lora": LoraConfig()})
    assert computed(cache, ref, given, same)[1] == 0, "nothing else decides them"


DAMAGES: dict[str, Change] = {
    "another value": lambda found: found["values"].__setitem__(0, -1.0),
    "one value less": lambda found: found["values"].pop(),
    "another key": lambda found: found.update(key="0" * 32),
    "no values": lambda found: found.pop("values"),
    "text for values": lambda found: found.update(values="none"),
}


@pytest.mark.parametrize("damage", [*DAMAGES, "cut short", "empty", "a list"])
def test_a_damaged_or_foreign_file_is_computed_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = sides(untrained(), 3)
    whole, _ = computed(tmp_path, untrained(), given)
    (file,) = tmp_path.iterdir()
    text = file.read_text()
    if damage in DAMAGES:
        found = json.loads(text)
        DAMAGES[damage](found)
        file.write_text(json.dumps(found))
    else:
        file.write_text({"cut short": text[:-9], "empty": "", "a list": "[]"}[damage])
    with caplog.at_level(logging.WARNING):
        again, loads = computed(tmp_path, untrained(), given)
    assert loads == 1
    assert torch.equal(again, whole)
    assert f"{file}" in caplog.text
    assert "are computed again" in caplog.text
    assert file.read_text() == text, "and kept"


def test_the_file_of_another_training_under_this_name_is_not_used(tmp_path: Path) -> None:
    """Whole and intact, of as many numbers, but of another reference."""
    given, other = sides(untrained()), checkpoint(tmp_path / "other", seed=1)
    computed(tmp_path / "a", untrained(), given)
    wrong, _ = computed(tmp_path / "b", other, given)
    (mine,), (foreign,) = (list((tmp_path / name).iterdir()) for name in "ab")
    mine.write_text(foreign.read_text())
    values, loads = computed(tmp_path / "a", untrained(), given)
    assert loads == 1
    assert not torch.equal(values, wrong)


def test_a_reference_of_another_family_is_refused(tmp_path: Path) -> None:
    model, words = load(untrained())
    words.add_tokens(["<another>"])
    model.resize_token_embeddings(len(words))
    other = save_checkpoint(model, words, tmp_path / "other", {})
    with pytest.raises(PolicyFault, match="has another vocabulary than the model that is trained"):
        train(untrained(), preferences(pairs(2), tmp_path / "cache", other), CONFIG, tmp_path, 0, "cpu")
