"""The small policy: a Llama of about half a million parameters, trained from scratch on a CPU in a minute."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from configs.schema import SmallModelConfig


def build_small_model(
    tokenizer: PreTrainedTokenizerBase, config: SmallModelConfig, seed: int = 0
) -> LlamaForCausalLM:
    """A randomly initialised model in fp32 for the tokenizer's vocabulary. Deterministic in (vocabulary size,
    config, seed); the caller's random state is not changed."""
    llama = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden_size,
        intermediate_size=4 * config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        max_position_embeddings=config.context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(llama)
