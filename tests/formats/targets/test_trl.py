"""TRL reads the exports, and trains on exactly the tokens that the factory trains on."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, load_dataset
from transformers import PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from configs.schema import SmallModelConfig
from models.local.small import build_small_model
from models.local.tokenizer import train_tokenizer
from models.training.encoding import Encoder
from tests.support.exported_run import MadeUp, exported_run
from tests.support.exports import exported, written

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{% else %}{{ message['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""The template of the small model, with the marks of the agent's turns that assistant_only_loss needs."""
CALM = "task_id <> 't3'"
"""Without the example whose texts are megabytes."""
FEW = {"max_steps": 1, "per_device_train_batch_size": 2, "report_to": [], "use_cpu": True, "max_length": None}
"""One training step."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return exported_run(tmp_path_factory.mktemp("made") / "data", copies=3)


@pytest.fixture(scope="module")
def words(made: MadeUp) -> PreTrainedTokenizerFast:
    texts = [message["content"] for example in made.trained_on().values() for message in example.messages]
    tokenizer = train_tokenizer([text for text in texts if len(text) < 1000], ["go to fridge"], 400)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


@pytest.fixture(scope="module")
def model(words: PreTrainedTokenizerFast) -> Any:
    return build_small_model(words, SmallModelConfig(layers=1, hidden_size=32, heads=2, kv_heads=1), 0)


def loaded(out: Path, cache: Path) -> Dataset:
    return load_dataset(str(out), split="train", cache_dir=str(cache))


def sft(out: Path, tmp_path: Path, model: Any, words: Any, **settings: Any) -> SFTTrainer:
    config = SFTConfig(output_dir=str(tmp_path / "sft"), **FEW, **settings)  # type: ignore[arg-type]
    data = loaded(out, tmp_path / "cache")
    return SFTTrainer(model=model, args=config, train_dataset=data, processing_class=words)


def labels(trainer: Any) -> list[tuple[list[int], list[int]]]:
    """(ids, labels) of every row as the trainer's own collator gives them."""
    batches = [trainer.data_collator([row]) for row in trainer.train_dataset]
    return [(batch["input_ids"][0].tolist(), batch["labels"][0].tolist()) for batch in batches]


def test_the_trainer_has_the_labels_of_the_factory_token_by_token(
    made: MadeUp, tmp_path: Path, model: Any, words: PreTrainedTokenizerFast
) -> None:
    """D_c, D_e, D_s and D_0, through SFTTrainer's own tokenization and collator; then one training step."""
    exported(made, tmp_path / "out", "trl-sft", where=CALM)
    trainer = sft(tmp_path / "out", tmp_path, model, words, assistant_only_loss=True)
    names = [row["example_id"] for row in written(tmp_path / "out")]
    encode, wanted = Encoder(words, 4096).encode, made.trained_on()
    factory = [encode(wanted[name]) for name in names]
    assert labels(trainer) == [(item["input_ids"], item["labels"]) for item in factory]
    assert {row.dataset for row in made.examples if row.example_id in names} == {
        "calibrated", "explored_success", "expert_suffix", "expert",
    }  # fmt: skip
    before = [p.detach().clone() for p in model.parameters()]
    trainer.train()
    assert any(not torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_without_assistant_only_loss_observations_are_trained_on(
    made: MadeUp, tmp_path: Path, model: Any, words: PreTrainedTokenizerFast
) -> None:
    """The control, and what the card warns of."""
    exported(made, tmp_path / "out", "trl-sft", where=CALM)
    trained = [
        labels(sft(tmp_path / "out", tmp_path, model, words, assistant_only_loss=only))
        for only in (True, False)
    ]
    assert trained[0] != trained[1]
    more = words.decode([token for token in trained[1][0][1] if token >= 0])
    assert "<|user|>" in more


def test_pairs_are_read_and_trained_on(
    made: MadeUp, tmp_path: Path, model: Any, words: PreTrainedTokenizerFast
) -> None:
    exported(made, tmp_path / "out", "trl-dpo")
    config = DPOConfig(output_dir=str(tmp_path / "dpo"), **FEW)  # type: ignore[arg-type]
    data = loaded(tmp_path / "out", tmp_path / "cache")
    trainer = DPOTrainer(model, deepcopy(model), config, train_dataset=data, processing_class=words)
    [row] = trainer.train_dataset
    prompt, chosen = words.decode(row["prompt_ids"]), words.decode(row["chosen_ids"])
    assert "Action: go to shelf" in prompt
    assert "Action: go to shelf" not in chosen
    assert chosen.count("Action:") == 2
    assert trainer.train().training_loss > 0
