"""How long a history may be for a model."""

from __future__ import annotations

from typing import Any

from models.policy import PolicyFault


def context_length(config: Any, name: str) -> int:
    """Longest history in tokens for the engine transformers, from a transformers configuration. Models with sliding
    windows are used within one window, where they are exact. Raises PolicyFault for a model that the engine cannot
    run."""
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    if kinds - {"full_attention", "sliding_attention"} or not hasattr(text, "max_position_embeddings"):
        raise PolicyFault(
            f"{name} ({text.model_type}) is not a plain attention model: serve it behind an OpenAI-compatible "
            "endpoint instead (policy.engine: openai)"
        )
    window = getattr(text, "sliding_window", None)
    return min(text.max_position_embeddings, window or text.max_position_embeddings)
