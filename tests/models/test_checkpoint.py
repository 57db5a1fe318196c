"""Checkpoints: named by their content, whole or absent, and checked before use."""

from __future__ import annotations

import json
import os

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.checkpoint import (
    CheckpointRef,
    load,
    parameters_of,
    reference,
    save_checkpoint,
    verify_checkpoint,
)
from models.local.small import build_small_model
from models.policy import PolicyFault
from tests.support.policy_toys import TINY, checkpoint, tokenizer


def test_the_same_weights_have_the_same_digest_whenever_and_wherever_they_are_saved(tmp_path) -> None:
    words = tokenizer()
    one = save_checkpoint(build_small_model(words, TINY, 7), words, tmp_path / "a", {"run": "one"})
    two = save_checkpoint(build_small_model(words, TINY, 7), words, tmp_path / "b", {"run": "two"})
    other = save_checkpoint(build_small_model(words, TINY, 8), words, tmp_path / "a", {"run": "one"})
    assert one.digest == two.digest != other.digest
    assert one.path == tmp_path / "a" / one.digest[:16]
    assert json.loads((one.path / "manifest.json").read_text()) == {"run": "one"}


def test_loading_and_saving_again_changes_nothing(tmp_path) -> None:
    ref = checkpoint(tmp_path / "a")
    assert save_checkpoint(*load(ref), tmp_path / "b", {}).digest == ref.digest


def test_plain_transformers_loads_it(tmp_path) -> None:
    ref = checkpoint(tmp_path)
    model, words = AutoModelForCausalLM.from_pretrained(ref.path), AutoTokenizer.from_pretrained(ref.path)
    assert model.config.vocab_size == len(words)
    assert words.chat_template
    assert not list(ref.path.glob("*.bin"))


def test_only_the_finished_folder_is_left(tmp_path) -> None:
    ref = checkpoint(tmp_path)
    checkpoint(tmp_path)
    assert os.listdir(tmp_path) == [ref.path.name]


def test_a_changed_file_is_found_and_named(tmp_path) -> None:
    ref = checkpoint(tmp_path)
    verify_checkpoint(ref)
    weights = ref.path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(PolicyFault, match=rf"{ref.path.name} does not match its digest.*--force"):
        load(ref)


def test_a_damaged_folder_is_replaced_when_the_checkpoint_is_saved_again(tmp_path) -> None:
    ref = checkpoint(tmp_path)
    (ref.path / "config.json").write_text("{")
    assert checkpoint(tmp_path) == ref
    verify_checkpoint(ref)


def test_a_missing_folder_and_a_folder_without_a_model_are_named(tmp_path) -> None:
    with pytest.raises(PolicyFault, match="nowhere is missing"):
        load(CheckpointRef(tmp_path / "nowhere", "0" * 64))
    with pytest.raises(PolicyFault, match=r"is not a model folder \(it has no config\.json\)"):
        reference(tmp_path)


def test_a_base_folder_is_referred_to_by_its_content(tmp_path) -> None:
    ref = checkpoint(tmp_path)
    assert reference(ref.path) == ref


def test_a_place_that_cannot_be_written_is_named(tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(PolicyFault, match=f"cannot write a checkpoint under {blocked}"):
        checkpoint(blocked)


def test_the_small_model_is_small_deterministic_and_leaves_the_random_state_alone() -> None:
    state = torch.get_rng_state()
    one, two, other = (build_small_model(tokenizer(), TINY, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.lm_head.weight, two.lm_head.weight)
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)
    assert one.lm_head.weight is one.model.embed_tokens.weight
    assert one.config.num_key_value_heads == TINY.kv_heads


def test_parameters_are_counted_from_the_files_tied_ones_once(tmp_path) -> None:
    ref = checkpoint(tmp_path)
    model, _ = load(ref)
    assert model.config.tie_word_embeddings
    assert parameters_of(ref) == sum(weight.numel() for weight in model.parameters()) > 0


def test_hidden_files_are_no_part_of_the_content(tmp_path) -> None:
    ref = checkpoint(tmp_path)
    notes = ref.path / ".cache" / "huggingface"
    notes.mkdir(parents=True)
    (notes / "model.safetensors.metadata").write_text("1764000000.0")
    assert reference(ref.path).digest == ref.digest
    (ref.path / "extra.json").write_text("{}")
    assert reference(ref.path).digest != ref.digest
