"""What the local engine depends on in transformers is still there (models/local/hf_internals.py)."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

from models.context_length import context_length
from models.local.hf_internals import causal_lm_classes, forward_with_cache, kv_sizes
from tests.support.policy_toys import SIZES

ADVICE = f"models/local/hf_internals.py depends on it; transformers here is {transformers.__version__}"
FORWARD = ("input_ids", "attention_mask", "position_ids", "cache", "use_cache", "logits_to_keep")


class RecordingCache:
    """Keeps nothing: each layer attends to the new tokens alone."""

    def __init__(self) -> None:
        self.layers: list[int] = []
        self.shapes: set[tuple[int, ...]] = set()

    def update(self, key: torch.Tensor, value: torch.Tensor, layer_idx: int, *_: Any, **__: Any) -> Any:
        self.layers.append(layer_idx)
        self.shapes |= {tuple(key.shape), tuple(value.shape)}
        return key, value

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0


def test_forward_takes_our_cache_and_mask() -> None:
    parameters = inspect.signature(LlamaForCausalLM.forward).parameters
    missing = [name for name in FORWARD if name not in parameters]
    assert not missing, f"LlamaForCausalLM.forward takes no {', '.join(missing)}: {ADVICE}"
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES)).eval()
    tokens, positions = torch.tensor([[5, 6, 7]]), torch.tensor([[0, 1, 2]])
    causal = torch.full((3, 3), torch.finfo(torch.float32).min).triu(1)[None, None]
    cache = RecordingCache()
    with torch.no_grad():
        logits = forward_with_cache(model, tokens, causal, positions, cache)
        alone = forward_with_cache(model, tokens, causal + causal.mT, positions, cache)
        usual = model(tokens).logits[:, -1]
    assert cache.layers[:2] == [0, 1], (
        f"the attention layers do not call cache.update(key, value, layer_idx): {ADVICE}"
    )
    assert cache.shapes == {(1, 2, 3, 16)}, (
        f"keys and values are not [rows, heads, queries, head_dim]: {ADVICE}"
    )
    assert torch.allclose(logits, usual, atol=1e-5), f"a 4-D additive mask is not used as it is: {ADVICE}"
    assert not torch.allclose(alone, usual, atol=1e-5), f"the attention mask is ignored: {ADVICE}"


def test_configurations_name_sizes_and_layers() -> None:
    config = LlamaConfig(**SIZES)
    assert kv_sizes(config) == (2, 2, 16), f"the configuration names its sizes otherwise: {ADVICE}"
    assert context_length(config, "a Llama") == 512
    windowed = transformers.Gemma2Config(**SIZES, sliding_window=64)
    assert set(windowed.layer_types) == {"full_attention", "sliding_attention"}, (
        f"layer_types is gone: {ADVICE}"
    )
    assert context_length(windowed, "a Gemma") == 64, f"sliding_window is gone: {ADVICE}"


def test_model_types_are_mapped_to_causal_lm_classes() -> None:
    assert causal_lm_classes("llama") == ["LlamaForCausalLM"], (
        f"the mapping of model types has changed: {ADVICE}"
    )
    assert causal_lm_classes("no such type") == []
