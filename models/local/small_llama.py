"""The forward pass of small Llamas on a CPU, without what transformers does around the arithmetic.

A pass of the small policy has about a million multiplications for each row, so much of its time is calls. Here a layer
has four matrix products (query, key and value in one; gate and up in one), and attention reads the kept keys and values
where they are: the heads that share them are queries of one head, instead of copying the keys to each.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedModel

MAX_PARAMETERS = 20_000_000
"""In larger models the matrix products take nearly all of the time, and a second copy of the weights much memory."""
_STATIC_ROPE = ("default", "linear", "llama3")


def fast_forward(model: PreTrainedModel) -> torch.nn.Module:
    """A module with the forward pass of `model`, as far as the local engine calls it; the model itself where this file
    has nothing faster."""
    config: Any = model.config
    fits = (
        type(model) is LlamaForCausalLM
        and model.device.type == "cpu"
        and model.dtype == torch.float32
        and model.num_parameters() <= MAX_PARAMETERS
        and config.hidden_act == "silu"
        and not (config.attention_bias or config.mlp_bias)
        and config.rope_parameters["rope_type"] in _STATIC_ROPE
    )
    return SmallLlama(model).eval() if fits else model


class SmallLlama(torch.nn.Module):
    """Holds copies of a model's weights. Called as a causal LM of transformers is (models/local/hf_internals.py)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        config, body = model.config, model.model
        self.config = config
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._eps = config.rms_norm_eps
        self._layers = [_LayerWeights(layer) for layer in body.layers]
        self._embedding, self._norm = body.embed_tokens.weight.detach(), body.norm.weight.detach()
        self._head = model.lm_head.weight.detach()
        places = torch.arange(config.max_position_embeddings)[None]
        with torch.no_grad():
            cos, sin = body.rotary_emb(self._embedding, position_ids=places)
        self._cos, half = cos[0, :, None], sin.shape[-1] // 2
        self._sin = torch.cat([-sin[0, :, None, :half], sin[0, :, None, half:]], dim=-1)

    @torch.inference_mode()
    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        cache: Any,
        use_cache: bool = True,
        logits_to_keep: int = 1,
    ) -> SimpleNamespace:
        """`logits` [rows, 1, vocabulary] after the last of input_ids [rows, queries]."""
        cos, sin = self._cos[position_ids], self._sin[position_ids]
        shared = self._heads // self._kv_heads
        mask = (
            attention_mask.expand(-1, -1, shared, -1)
            if input_ids.shape[1] == 1
            else (attention_mask.repeat(1, 1, shared, 1))
        )
        hidden = functional.embedding(input_ids, self._embedding)
        for number, layer in enumerate(self._layers):
            hidden = hidden + self._attention(number, layer, hidden, mask, cos, sin, cache)
            gate, up = functional.linear(self._normed(hidden, layer.mlp_norm), layer.gate_up).chunk(2, dim=-1)
            hidden = hidden + functional.linear(functional.silu(gate) * up, layer.down)
        last = self._normed(hidden[:, -1:], self._norm)
        return SimpleNamespace(logits=functional.linear(last, self._head))

    def _attention(
        self,
        number: int,
        layer: _LayerWeights,
        hidden: torch.Tensor,
        mask: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        cache: Any,
    ) -> torch.Tensor:
        rows, queries, _ = hidden.shape
        turned = self._heads + self._kv_heads
        made = functional.linear(self._normed(hidden, layer.attention_norm), layer.qkv)
        made = made.view(rows, queries, turned + self._kv_heads, -1)
        qk = made[:, :, :turned]
        qk = torch.addcmul(qk * cos, qk.roll(qk.shape[-1] // 2, -1), sin)  # rotary positions
        key, value = cache.update(
            qk[:, :, self._heads :].transpose(1, 2), made[:, :, turned:].transpose(1, 2), number
        )
        query = qk[:, :, : self._heads].transpose(1, 2).reshape(rows, self._kv_heads, -1, qk.shape[-1])
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        seen = seen.reshape(rows, self._heads, queries, -1).transpose(1, 2)
        return functional.linear(seen.reshape(rows, queries, -1), layer.out)

    def _normed(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(hidden, weight.shape, weight, self._eps)


class _LayerWeights:
    """One layer's weights, those with the same input in one matrix."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        apart = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.qkv = torch.cat([part.weight.detach() for part in apart])
        self.gate_up = torch.cat([mlp.gate_proj.weight.detach(), mlp.up_proj.weight.detach()])
        self.out, self.down = attention.o_proj.weight.detach(), mlp.down_proj.weight.detach()
        self.attention_norm = layer.input_layernorm.weight.detach()
        self.mlp_norm = layer.post_attention_layernorm.weight.detach()
