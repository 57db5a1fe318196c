"""The engine under other architectures than the small Llama, random weights, against plain `generate`."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from models.local.transformers_policy import TransformersPolicy
from models.policy import PolicyFault, Sampling
from tests.support.policy_toys import SIZES, VOCABULARY, said, tokenizer

GPT2 = GPT2Config(
    vocab_size=len(tokenizer()), n_positions=512, n_embd=64, n_layer=2, n_head=4, eos_token_id=2
)


def model_of(config: PreTrainedConfig) -> torch.nn.Module:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.mul_(3)  # decisive: no two tokens are nearly as likely
    return model


@pytest.mark.parametrize(
    "config",
    [MistralConfig(**SIZES, sliding_window=96), Qwen3Config(**SIZES), Gemma2Config(**SIZES), GPT2],
    ids=lambda config: config.model_type,
)
def test_other_causal_models_write_what_generate_writes(config: PreTrainedConfig) -> None:
    model, words = model_of(config), tokenizer()
    subject = TransformersPolicy(model, words, "x", batch=4)
    histories = [said("Visit " + " or ".join(VOCABULARY[: 1 + i]) + ".") for i in range(6)]
    for _ in range(2):
        turns = subject.act(histories, range(6), Sampling(max_tokens=8))
        for history, turn in zip(histories, turns, strict=True):
            ids = words.apply_chat_template(
                history, add_generation_prompt=True, return_tensors="pt", return_dict=False
            )
            assert ids.shape[1] + 8 < subject.context
            out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8)
            assert turn.text == words.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        histories = [[*h, *said("", "Visit shelf 2.")[::-1]] for h in histories]
        histories = [[*h[:-2], {"role": "assistant", "content": "go"}, h[-1]] for h in histories]


def test_a_sliding_window_bounds_the_context() -> None:
    model = model_of(MistralConfig(**SIZES, sliding_window=96))
    assert TransformersPolicy(model, tokenizer(), "x").context == 96


def test_a_recurrent_model_is_refused_with_the_way_out() -> None:
    model = model_of(MambaConfig(vocab_size=len(tokenizer()), hidden_size=32, num_hidden_layers=1))
    with pytest.raises(PolicyFault, match=r"x \(mamba\) is not a plain attention model: serve it"):
        TransformersPolicy(model, tokenizer(), "x")
