"""Finds defects of a base model's tokenizer and chat template. One function per defect, as in models/base/model.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from models.policy import describe_error

_EPISODE = [
    {"role": "user", "content": "You are in a room."},
    {"role": "assistant", "content": "Action: look"},
    {"role": "user", "content": "You see a shelf."},
]
"""An episode as the template sees it."""


def tokenizer_fault(folder: Path, embeddings: int) -> str | None:
    """The first defect; `embeddings`: the model's number of token embeddings."""
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # many libraries read its files, each with its own errors
        return f"its tokenizer cannot be loaded ({describe_error(error)}): download the model's tokenizer files again"
    return (
        slow(tokenizer)
        or no_template(tokenizer)
        or broken_template(tokenizer)
        or more_tokens_than_embeddings(tokenizer, embeddings)
    )


def slow(tokenizer: Any) -> str | None:
    if getattr(tokenizer, "is_fast", False):
        return None
    return "its tokenizer cannot map tokens to positions in a text; get the model with its tokenizer.json"


def no_template(tokenizer: Any) -> str | None:
    if tokenizer.chat_template:
        return None
    return (
        "its tokenizer has no chat template; use the chat (instruct) model, or put its template into the folder as "
        "chat_template.jinja"
    )


def broken_template(tokenizer: Any) -> str | None:
    """Renders an episode of two turns, as for training and as for generation."""
    try:
        _rendered(tokenizer)
    except Exception as error:  # a template is a program
        return (
            f"its chat template cannot render a conversation of user and assistant ({describe_error(error)}); get the "
            "model's own template, or put another into the folder as chat_template.jinja"
        )
    return None


def more_tokens_than_embeddings(tokenizer: Any, embeddings: int) -> str | None:
    """Unused added tokens may lack an embedding: those do no harm."""
    beyond = {token: i for token, i in tokenizer.get_vocab().items() if i >= embeddings}
    used = set(tokenizer(_rendered(tokenizer), add_special_tokens=False)["input_ids"])
    used |= {tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id}
    harmful = [t for t, i in beyond.items() if i in used or i not in tokenizer.added_tokens_decoder]
    if not harmful:
        return None
    token = min(harmful, key=lambda token: beyond[token])
    return (
        f"its tokenizer has ids up to {max(beyond.values())} (e.g. {token!r}: {beyond[token]}) but the model has only "
        f"{embeddings} embeddings; use its own tokenizer, or load the model, resize_token_embeddings and "
        "save_pretrained"
    )


def _rendered(tokenizer: Any) -> str:
    tokenizer.apply_chat_template(_EPISODE[:2], tokenize=False, add_generation_prompt=False)
    return str(tokenizer.apply_chat_template(_EPISODE, tokenize=False, add_generation_prompt=True))
