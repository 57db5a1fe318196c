"""Everything of transformers that the local engine depends on and that is not documented as public, in one place.

Tested with transformers 5.24.0. `tests/models/local/test_hf_internals.py` fails with the name of whatever a newer
version has removed or changed.

- A causal LM's forward pass takes any object with `update(key, value, layer_idx)` and `get_seq_length()` as `cache`
  (our KVBatch), uses a 4-D additive attention mask unchanged, and computes only the last
  logits with `logits_to_keep=1`.
- A configuration names the sizes of keys and values (`num_key_value_heads`, `head_dim`) and the kind of each layer
  (`layer_types`, `sliding_window`: see models/context_length.py).
- `MODEL_FOR_CAUSAL_LM_MAPPING_NAMES` lists the causal LM classes of each model type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def forward_with_cache(
    model: Any, tokens: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: object
) -> torch.Tensor:
    """Logits [rows, vocabulary] after the last of tokens [rows, queries] at these positions; mask [rows, 1, queries,
    visible] is added to the attention scores."""
    out = model(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=positions,
        cache=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits: torch.Tensor = out.logits[:, -1]
    return logits


def kv_sizes(config: Any) -> tuple[int, int, int]:
    """(layers, heads, head_dim) of a model's keys and values."""
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return text.num_hidden_layers, heads, head_dim


def causal_lm_classes(model_type: str) -> list[str]:
    """The names of the causal LM classes of a model type; [] if transformers has none."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    known: Any = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type, ())
    return [known] if isinstance(known, str) else list(known)
