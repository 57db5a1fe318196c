"""How long a history may be, by a model's configuration."""

from __future__ import annotations

from typing import Any

from models.policy import PolicyFault


def context_of(config: Any, name: str) -> int:
    """Longest history in tokens for the engine transformers, by a transformers configuration. Models with sliding
    windows are run within one window, where they are exact. Raises PolicyFault for one that the engine cannot run."""
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    if kinds - {"full_attention", "sliding_attention"} or not hasattr(text, "max_position_embeddings"):
        raise PolicyFault(
            f"{name} ({text.model_type}) is not a plain attention model: serve it behind an OpenAI-compatible "
            "endpoint instead (policy.engine: openai)"
        )
    window = getattr(text, "sliding_window", None)
    return min(text.max_position_embeddings, window or text.max_position_embeddings)
