"""LoRA and precision: what is trained, in which dtype, and what comes out."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers.models.llama.modeling_llama import LlamaMLP

from configs.training import LoraConfig, TrainingConfig
from models.checkpoint import CheckpointRef, load, reference, save_checkpoint
from models.checkpoint_ref import folder_digest
from models.policy import PolicyFault
from models.training import train as training
from models.training.adapters import add_adapters, merge_adapters
from models.training.train import TrainResult, train
from tests.support.policy_toys import examples, untrained

LORA = {"steps": 6, "batch_size": 4, "learning_rate": 1e-2, "lora": {"rank": 4, "alpha": 8}}


def run(root: Path, base: CheckpointRef, **config: object) -> TrainResult:
    return train(base, examples(8, 1), TrainingConfig.model_validate(config), root, 0, "cpu")


@cache
def bfloat16_base() -> CheckpointRef:
    model, words = load(untrained())
    return save_checkpoint(model.to(torch.bfloat16), words, Path(mkdtemp(prefix="bf16-")), {})


def changed(before: CheckpointRef, after: CheckpointRef) -> set[str]:
    """Names of the weights that differ, as far as the last part but one."""
    one, two = (load_file(ref.path / "model.safetensors") for ref in (before, after))
    assert one.keys() == two.keys()
    return {name.split(".")[-2] for name in one if not torch.equal(one[name].float(), two[name].float())}


def test_adapters_come_out_merged_in_an_ordinary_checkpoint(tmp_path: Path) -> None:
    result = run(tmp_path, untrained(), **LORA)
    assert {p.name for p in result.ref.path.iterdir()} == {p.name for p in untrained().path.iterdir()}
    linear = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert changed(untrained(), result.ref) == linear, "norms, embeddings and head stay"
    assert result.curve[-1].loss < result.curve[0].loss
    some = run(tmp_path, untrained(), **{**LORA, "lora": {"rank": 4, "targets": ["q_proj", "v_proj"]}})
    assert changed(untrained(), some.ref) == {"q_proj", "v_proj"}


def test_merging_is_the_formula_of_low_rank_adapters() -> None:
    torch.manual_seed(0)
    model: Any = add_adapters(load(untrained())[0], LoraConfig(rank=4, alpha=12, targets=("q_proj",)))
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    up, down = layer.lora_B["default"].weight, layer.lora_A["default"].weight
    torch.nn.init.normal_(up)
    wanted = layer.base_layer.weight + 12 / 4 * up @ down
    merged = merge_adapters(model)
    assert torch.allclose(merged.model.layers[0].self_attn.q_proj.weight, wanted, atol=1e-6)
    assert not torch.allclose(load(untrained())[0].model.layers[0].self_attn.q_proj.weight, wanted, atol=1e-2)


@pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])
def test_a_bfloat16_base_is_trained_in_fp32_where_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: bool
) -> None:
    """An update of 1e-6 is below bf16's steps: it must add up in fp32 before the weights are rounded."""
    seen: dict[bool, set[torch.dtype]] = {}
    prepared = training._prepared

    def watched(model: Any, config: TrainingConfig) -> Any:
        model = prepared(model, config)
        for weight in model.parameters():
            seen.setdefault(weight.requires_grad, set()).add(weight.dtype)
        return model

    monkeypatch.setattr(training, "_prepared", watched)
    config = {**LORA, "dtype": "bfloat16"} if lora else {**LORA, "dtype": "bfloat16", "lora": None}
    result = run(tmp_path, bfloat16_base(), **config)
    assert seen == ({True: {torch.float32}, False: {torch.bfloat16}} if lora else {True: {torch.float32}})
    assert {t.dtype for t in load_file(result.ref.path / "model.safetensors").values()} == {torch.bfloat16}
    assert result.curve[-1].loss < result.curve[0].loss
    exact = run(tmp_path, untrained(), **{**config, "dtype": "float32"})
    assert result.curve[0].loss == pytest.approx(exact.curve[0].loss, rel=2e-2)


@pytest.mark.parametrize("lora", [None, {"rank": 4, "dropout": 0.1}], ids=["full", "lora"])
def test_gradient_checkpointing_changes_no_loss_gradient_or_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: object
) -> None:
    passes: list[bool] = []
    forward = LlamaMLP.forward

    def counted(layer: LlamaMLP, x: torch.Tensor) -> torch.Tensor:
        passes.append(
            torch.is_grad_enabled()
        )  # the last look at the trained model is no pass of the training
        return forward(layer, x)

    monkeypatch.setattr(LlamaMLP, "forward", counted)
    plain = run(tmp_path, untrained(), **{**LORA, "lora": lora})
    once = sum(passes)
    less = run(tmp_path, untrained(), **{**LORA, "lora": lora}, gradient_checkpointing=True)
    assert sum(passes) == 3 * once, "each layer works twice where its activations are not kept"
    assert less.curve == plain.curve
    assert less.ref.digest == plain.ref.digest


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            ["q_proj", "query"],
            r"lora\.targets names query, but the model has no such linear layer; it has: down_",
        ),
        (["embed_tokens"], r"lora\.targets names embed_tokens, but"),
        (["lm_head"], r"lora\.targets names lm_head, whose weights are also the input embeddings"),
    ],
)
def test_targets_that_cannot_be_adapted_are_refused(tmp_path: Path, targets: list[str], message: str) -> None:
    with pytest.raises(PolicyFault, match=message):
        run(tmp_path, untrained(), **{**LORA, "lora": {"targets": targets}})


def test_weights_that_are_pickles_are_refused(tmp_path: Path) -> None:
    model, words = load(untrained())
    words.save_pretrained(tmp_path)
    model.config.save_pretrained(tmp_path)
    with pytest.raises(PolicyFault, match="it holds no weights; safetensors only"):
        reference(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(
        PolicyFault, match=r"its weights are pickles \(pytorch_model\.bin\); safetensors only"
    ):
        reference(tmp_path)
    with pytest.raises(PolicyFault, match="cannot be loaded"):
        load(CheckpointRef(tmp_path, folder_digest(tmp_path)))
    model.save_pretrained(tmp_path)
    assert load(reference(tmp_path))[0].num_parameters() == model.num_parameters()
