"""The small policy's own forward pass gives what transformers gives, and only models that it knows get it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3Config

from models.local import small_llama
from models.local.hf_internals import forward_with_cache
from models.local.small_llama import SmallLlama, fast_forward
from models.local.transformers_policy import TransformersPolicy
from models.policy import Sampling
from tests.support.policy_toys import SIZES, VOCABULARY, said, tokenizer


class NewTokensAlone:
    def update(self, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> Any:
        return key, value

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0


def llama(**more: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**{**SIZES, **more})).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.3 * torch.randn_like(weights))  # norms too: they start as ones
    return model


def logits(model: torch.nn.Module, queries: int) -> torch.Tensor:
    tokens = torch.randint(0, 50, (3, queries), generator=torch.Generator().manual_seed(1))
    positions = torch.arange(queries).expand(3, -1)
    mask = torch.full((queries, queries), torch.finfo(torch.float32).min).triu(1).expand(3, 1, -1, -1)
    with torch.no_grad():
        return forward_with_cache(model, tokens, mask, positions, NewTokensAlone())


@pytest.mark.parametrize("queries", [1, 7])
@pytest.mark.parametrize("more", [{}, {"num_key_value_heads": 4}, {"tie_word_embeddings": True}], ids=str)
def test_logits_are_those_of_transformers(queries: int, more: dict[str, Any]) -> None:
    model = llama(**more)
    fast = fast_forward(model)
    assert isinstance(fast, SmallLlama)
    expected = logits(model, queries)
    assert torch.allclose(logits(fast, queries), expected, rtol=1e-4, atol=1e-4)
    fast._layers[1].down = fast._layers[1].down.flip(0)
    assert not torch.allclose(logits(fast, queries), expected, rtol=1e-2, atol=1e-2), "nothing was compared"


def test_turns_are_those_of_the_models_own_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model, words = llama(), tokenizer()
    histories = [said("Visit " + " or ".join(VOCABULARY[: 1 + i]) + ".") for i in range(12)]
    turns = TransformersPolicy(model, words, "x").act(histories, range(12), Sampling(1.0, max_tokens=8))
    monkeypatch.setattr(small_llama, "MAX_PARAMETERS", 0)
    usual = TransformersPolicy(model, words, "x")
    assert usual.model is model
    assert usual.act(histories, range(12), Sampling(1.0, max_tokens=8)) == turns


@pytest.mark.parametrize(
    "model",
    [
        llama(attention_bias=True),
        llama(hidden_act="gelu"),
        llama(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}),
        llama().to(torch.bfloat16),
        AutoModelForCausalLM.from_config(Qwen3Config(**SIZES)),
    ],
    ids=["bias", "activation", "rope", "dtype", "another architecture"],
)
def test_other_models_keep_their_own(model: PreTrainedModel) -> None:
    assert fast_forward(model) is model
