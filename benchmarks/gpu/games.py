"""Models that play, for `benchmarks.gpu`: published sizes, random weights, and a tokenizer for the generated games.

A word is a token, and so is a number or a mark, as nearly all are for the tokenizers of the published models. The chat
template is ChatML, the form of Qwen's.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from benchmarks.gpu.inputs import random_model
from configs.environment import EnvironmentConfig
from configs.load import load_config
from configs.schema import FactoryConfig
from environments.complete import CompleteWorld
from environments.registry import open_world
from models.checkpoint import CheckpointRef, save_checkpoint
from rollouts.stages.assemble import warmup_examples
from rollouts.stages.demonstrate import demonstrate

GAMES = (
    "environment.name=alfworld-generated",
    "environment.options={}",
    "policy.engine=transformers",
    "policy.arguments=[]",
    "policy.stop=[]",
)
"""What takes a configuration of the official games on vLLM to generated ones on the local engine."""
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
"""The tokens 0, 1 and 2, as the models of benchmarks/gpu/inputs.py have them."""
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_RUNS, _TOKENS, _LOUDER = 64, 4096, 20.0


def game_config(file: Path, *changes: str) -> FactoryConfig:
    """A configuration of the official games, for generated ones."""
    return load_config(file, [*GAMES, *changes])


def game_world() -> CompleteWorld:
    return open_world(EnvironmentConfig())


@cache
def game_tokenizer() -> PreTrainedTokenizerFast:
    """Trained on the expert's runs, each with instruction and worked example."""
    world, config = game_world(), load_config(None, GAMES)
    records = demonstrate(world, world.tasks("train", _RUNS, 0), config)
    examples = warmup_examples(world, records, "one_shot")
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=_TOKENS,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator((m["content"] for example in examples for m in example.messages), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=PAD, eos_token=END, chat_template=CHATML, padding_side="left"
    )


def build_game_base(shape: str, root: Path, device: str) -> CheckpointRef:
    """A model of this shape with random weights in bfloat16 and the tokenizer for the games, under `root`."""
    torch.manual_seed(0)
    return save_checkpoint(random_model(shape, device), game_tokenizer(), root, {"shape": shape})


def write_words_only(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    """Make a random model write whole words until the limit of the turn, so that its turns have a known length and are
    read back as the tokens that it wrote: it has more embeddings than there are tokens, and its weights know no end."""
    texts = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    words = [token for token, text in enumerate(texts) if text[:1] == " " and text[1:].isalpha()]
    with torch.no_grad():
        model.get_output_embeddings().weight[words] *= _LOUDER
