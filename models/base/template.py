"""Checks whether a policy can be trained with the chat template of a model folder. Needs no weights."""

from __future__ import annotations

from pathlib import Path

from jinja2 import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from models.policy import Message, PolicyFault
from models.training.encoding import Encoder
from models.training.examples import Example

_TURNS = 3


def check_template(folder: Path, thinking: bool, setting: str = "policy.base") -> str | None:
    """What is wrong, in one line that begins with the setting that names the folder; None if training and generation
    agree. Raises transformers' error for a folder without a readable tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    fault = _fault(tokenizer, thinking) if tokenizer.chat_template else "the tokenizer has no chat template"
    return fault and (
        f"{setting}: no policy can be trained with the chat template of {folder}: {fault}; save another "
        "chat_template.jinja there, one that renders user and assistant messages of plain text"
    )


def _fault(tokenizer: PreTrainedTokenizerBase, thinking: bool) -> str | None:
    dialogue: list[Message] = []
    for turn in range(_TURNS):
        dialogue.append({"role": "user", "content": f"You see shelf {turn}."})
        dialogue.append({"role": "assistant", "content": f"Thought: I look.\nAction: go to shelf {turn}"})
    example = Example("the first", dialogue, [True] * _TURNS, thinking=thinking)
    try:
        Encoder(tokenizer, 10**9).encode(example)
    except PolicyFault as fault:
        return str(fault).rpartition("the chat template")[2].strip() or str(fault)
    except TemplateError as error:
        return "it fails: " + " ".join(str(error).split())
    return None
