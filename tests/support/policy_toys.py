"""Toy conversations and models for the policy tests; a tiny model learns them in seconds."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from transformers import AutoModelForCausalLM, GPT2Config, PreTrainedTokenizerFast

from configs.schema import SmallModelConfig
from configs.training import TrainingConfig
from models.checkpoint import CheckpointRef, save_checkpoint
from models.local.small import build_small_model
from models.local.tokenizer import CHAT_TEMPLATE, train_tokenizer
from models.policy import Message
from models.training.encoding import Encoded, Encoder
from models.training.examples import Example
from models.training.train import TrainResult, train

PLACES = ("shelf", "cabinet", "drawer")
VOCABULARY = [f"{place} {number}" for place in PLACES for number in range(1, 5)]
TINY = SmallModelConfig(layers=2, hidden_size=64, heads=4, kv_heads=2, context=256)


def said(*texts: str) -> list[Message]:
    """Messages from texts, user and assistant in turn, the user first."""
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def turn(place: str) -> str:
    return f"Thought: I look at {place}.\nAction: go to {place}"


def conversation(seed: int, turns: int = 3) -> list[Message]:
    """The user names a place each turn, the assistant goes there."""
    draw = random.Random(seed)
    texts: list[str] = []
    for _ in range(turns):
        place = draw.choice(VOCABULARY)
        texts += [f"Visit {place}.", turn(place)]
    return said(*texts)


def encode(words: PreTrainedTokenizerFast, example: Example, max_tokens: int) -> Encoded:
    return Encoder(words, max_tokens).encode(example)


def examples(count: int, turns: int = 3) -> list[Example]:
    return [Example(f"e{i}", conversation(i, turns), [True] * turns) for i in range(count)]


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    texts = [m["content"] for i in range(40) for m in conversation(1000 + i)]
    return train_tokenizer(texts, VOCABULARY, 1024)


def checkpoint(root: Path, config: SmallModelConfig = TINY, seed: int = 0) -> CheckpointRef:
    """An untrained tiny model."""
    words = tokenizer()
    return save_checkpoint(build_small_model(words, config, seed), words, root, {})


@cache
def untrained() -> CheckpointRef:
    return checkpoint(Path(mkdtemp(prefix="toys-")))


def overflowing_model(root: Path, word: str, value: float = 3e38) -> CheckpointRef:
    """A model that overflows if and only if it reads the word: the values of the word's vector are finite, but their
    differences are not."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        GPT2Config(vocab_size=len(tokenizer()), n_embd=64, n_layer=2, n_head=4, tie_word_embeddings=False)
    )
    (token,) = tokenizer()(word, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        model.get_input_embeddings().weight[token] = torch.tensor([value, -value] * 32)
    return save_checkpoint(model, tokenizer(), root, {})


@cache
def rewriting_model() -> CheckpointRef:
    """The untrained tiny model with a template that renders each longer conversation differently from its start."""
    words = tokenizer()
    template, words.chat_template = words.chat_template, "{{ messages | length }}" + CHAT_TEMPLATE
    try:
        return checkpoint(Path(mkdtemp(prefix="toys-")))
    finally:
        words.chat_template = template


@cache
def trained() -> TrainResult:
    """The tiny model, trained to go to the named place."""
    config = TrainingConfig(steps=200, batch_size=16, learning_rate=3e-3)
    return train(untrained(), examples(400, 1), config, untrained().path.parent, device="cpu")


SIZES = {
    "vocab_size": len(tokenizer()),
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
"""Settings of random models of other architectures than the small Llama."""
