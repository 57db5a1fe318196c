"""What `benchmarks.gpu` trains: models with the sizes of published ones and random weights, and random conversations.

No model hub is asked. The speed and the memory of a training depend on sizes and lengths, not on what the weights know.
The conversations have the form of ReAct episodes of ALFWorld: a long first message with instructions and an example,
then the agent's turns and the world's answers. Their words are drawn at random, a word is a token.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from models.checkpoint import CheckpointRef, save_checkpoint
from models.local.tokenizer import train_tokenizer
from models.policy import Message
from models.training.examples import Example, PreferencePair
from models.training.objectives.preferences import Preferences
from models.training.training_data import TrainingData
from steca.preferences import published_loss

WORDS = tuple("".join(sounds) for sounds in product("bdgk", "aeo", "lmnr", "aeiou"))
TURN_WORDS, ANSWER_WORDS = 35, 25
"""Words of an agent's turn, thought and action, and of the world's answer to it."""
TOKENS_A_TURN = TURN_WORDS + ANSWER_WORDS + 10
OPENING = 1 / 3
"""The share of a conversation that its first message takes."""
_SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

QWEN_1_5B, LLAMA_8B, TINY = "1.5b", "8b", "tiny"
_CONFIGS: dict[str, tuple[type[PretrainedConfig], dict[str, Any]]] = {
    # config.json of Qwen/Qwen2.5-1.5B-Instruct
    QWEN_1_5B: (
        Qwen2Config,
        {
            "hidden_size": 1536,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "intermediate_size": 8960,
            "vocab_size": 151936,
            "max_position_embeddings": 32768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": True,
        },
    ),
    # config.json of meta-llama/Meta-Llama-3-8B-Instruct
    LLAMA_8B: (
        LlamaConfig,
        {
            "hidden_size": 4096,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "intermediate_size": 14336,
            "vocab_size": 128256,
            "max_position_embeddings": 8192,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": False,
        },
    ),
    TINY: (
        Qwen2Config,
        {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 128,
            "vocab_size": 1024,
            "tie_word_embeddings": True,
        },
    ),
}


def build_base(shape: str, root: Path, device: str) -> CheckpointRef:
    """A model of this shape with random weights in bfloat16, drawn on the device, as a checkpoint under `root`."""
    torch.manual_seed(0)
    return save_checkpoint(random_model(shape, device), tokenizer(), root, {"shape": shape})


def random_model(shape: str, device: str) -> Any:
    """A model of this shape in bfloat16, on the device."""
    kind, sizes = _CONFIGS[shape]
    with torch.device(device):
        return AutoModelForCausalLM.from_config(kind(**sizes, **_SPECIAL), dtype=torch.bfloat16)


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Every word is one token. It has fewer tokens than the models have embeddings, which changes no cost."""
    texts = [message["content"] for message in conversation(random.Random(0), 1000)]
    return train_tokenizer(texts, WORDS, 1024)


def conversation(draw: random.Random, tokens: int) -> list[Message]:
    """User and assistant in turn, about `tokens` tokens long, the assistant last."""
    messages: list[Message] = [{"role": "user", "content": _words(draw, int(OPENING * tokens))}]
    for _ in range(max(1, int((1 - OPENING) * tokens) // TOKENS_A_TURN)):
        thought, action = _words(draw, TURN_WORDS - 4), _words(draw, 4)
        messages.append({"role": "assistant", "content": f"Thought: {thought}\nAction: {action}"})
        messages.append({"role": "user", "content": _words(draw, ANSWER_WORDS)})
    return messages[:-1]


def _words(draw: random.Random, count: int) -> str:
    return " ".join(draw.choices(WORDS, k=count))


@dataclass(frozen=True, slots=True)
class Lengths:
    """The lengths of conversations in tokens, drawn evenly between the two."""

    shortest: int
    longest: int


def examples(count: int, lengths: Lengths) -> list[Example]:
    """Conversations of weight 1 whose every turn is a target."""
    return [_example(f"e{seed}", random.Random(seed), lengths) for seed in range(count)]


def pairs(count: int, lengths: Lengths) -> list[PreferencePair]:
    """Pairs of two runs from the same first message."""
    return [_pair(seed, lengths) for seed in range(count)]


def preferences(count: int, lengths: Lengths, reference: CheckpointRef, cache_folder: Path) -> TrainingData:
    """Pairs with the published settings of method dpo."""
    return Preferences(pairs(count, lengths), reference, published_loss("dpo", 1), cache_folder)


def _example(name: str, draw: random.Random, lengths: Lengths) -> Example:
    messages = conversation(draw, draw.randint(lengths.shortest, lengths.longest))
    return Example(name, messages, [True] * (len(messages) // 2))


def _pair(seed: int, lengths: Lengths) -> PreferencePair:
    draw = random.Random(seed)
    chosen, rejected = (_example(side, draw, lengths) for side in ("chosen", "rejected"))
    shared = [chosen.messages[0], *rejected.messages[1:]]
    return PreferencePair(f"p{seed}", chosen, Example("rejected", shared, rejected.targets))
