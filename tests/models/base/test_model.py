"""An unusable base model is refused before anything starts, in one line that says what to do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    LlamaConfig,
    LlamaForSequenceClassification,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from configs.load import check
from flows.factory import factory
from models.base.model import check_base
from models.checkpoint import load
from models.checkpoint_ref import reference
from models.policy import PolicyFault
from tasks.preflight import preflight
from tests.support.policy_toys import SIZES, tokenizer, untrained
from tests.support.tiny_factory import ROOT

FITS = {"warmup.max_tokens": 256, "policy.max_turn_tokens": 48}


def fault(folder: Path, in_process: bool = True, **longest: int) -> str:
    with pytest.raises(PolicyFault) as caught:
        check_base(folder, longest or FITS, in_process)
    said = str(caught.value)
    assert said.startswith(f"policy.base {folder}: ")
    assert "\n" not in said
    return said


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A sound base model of three shards, such as a hub gives it."""
    folder = tmp_path / "base"
    model, words = load(untrained())
    model.save_pretrained(folder, max_shard_size="150KB")
    words.save_pretrained(folder)
    assert len(list(folder.glob("model-*.safetensors"))) >= 3
    return folder


def saved(folder: Path, config: PreTrainedConfig, **kinds: Any) -> Path:
    """A random model of another architecture, with the toys' tokenizer."""
    torch.manual_seed(0)
    kind: Callable[..., Any] = kinds.get("kind", AutoModelForCausalLM.from_config)
    kind(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def edited(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_sound_models_pass(base: Path, tmp_path: Path) -> None:
    check_base(base, FITS, in_process=True)
    check_base(untrained().path, FITS, in_process=True)
    configs: list[PreTrainedConfig] = [
        Qwen3Config(**SIZES),
        MistralConfig(**SIZES, sliding_window=256),
        GPT2Config(vocab_size=len(tokenizer()), n_embd=64, n_layer=1, n_head=4),
    ]
    for config in configs:
        check_base(saved(tmp_path / config.model_type, config), FITS, in_process=True)


def test_a_folder_that_is_not_there_or_is_none(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no such folder" in fault(tmp_path / "nowhere")
    assert "it is a file" in fault(base / "config.json")
    assert "no config.json, so it is not a model folder" in fault(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "hf download org/model --local-dir org/model" in fault(Path("org/model"))
    (base / "config.json").rename(base / "adapter_config.json")
    assert "adapters only; merge them" in fault(base)


def test_weights_that_are_not_there(base: Path) -> None:
    shards = sorted(base.glob("model-*.safetensors"))
    shards[1].rename(base / "elsewhere")
    assert f"1 of {len(shards)} files of weights are missing, e.g. {shards[1].name}" in fault(base)
    (base / "model.safetensors.index.json").unlink()
    assert "neither model.safetensors nor model.safetensors.index.json" in fault(base)
    for shard in base.glob("*.safetensors"):
        shard.unlink()
    assert "it holds no weights" in fault(base)
    (base / "pytorch_model.bin").write_bytes(b"")
    assert "its weights are pickles (pytorch_model.bin); safetensors only" in fault(base)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (-1, "bytes, but its header says"),
        (40, "truncated or has a damaged"),
        (3, "truncated or has a damaged"),
        (0, "truncated"),
    ],
)
@pytest.mark.parametrize("sharded", [True, False])
def test_weights_that_are_cut_off(base: Path, sharded: bool, keep: int, message: str) -> None:
    folder = base if sharded else shutil.copytree(untrained().path, base.with_name("single"))
    file = sorted(folder.glob("*.safetensors"))[-1]
    whole = file.read_bytes()
    file.write_bytes(whole[:keep])
    said = fault(folder)
    assert file.name in said
    assert message in said
    file.write_bytes(whole)
    check_base(folder, FITS, in_process=True)


def test_weights_that_were_damaged_in_other_ways(base: Path) -> None:
    first = sorted(base.glob("model-*.safetensors"))[0]
    whole = first.read_bytes()
    first.write_bytes(whole + b"\0")
    assert "bytes, but its header says" in fault(base)
    first.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    assert f"{first.name} is a Git LFS pointer" in fault(base)
    first.write_bytes(whole)
    index = base / "model.safetensors.index.json"
    places = json.loads(index.read_text())["weight_map"]
    edited(index, weight_map={**places, "model.layers.9.mlp.up_proj.weight": first.name})
    assert "does not contain model.layers.9.mlp.up_proj.weight" in fault(base)
    index.write_text(index.read_text()[:-20])
    assert "is not a valid index" in fault(base)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, "fp8"),
        ({"load_in_8bit": True}, "of an unnamed kind"),
    ],
)
def test_a_quantised_model(base: Path, settings: dict[str, Any], kind: str) -> None:
    edited(base / "config.json", quantization_config=settings)
    said = fault(base)
    assert f"its weights are quantised ({kind}) and cannot be trained" in said
    edited(base / "config.json", quantization_config=None, text_config={"quantization_config": settings})
    assert "cannot be trained" in fault(base)


def test_a_model_that_writes_no_text(base: Path, tmp_path: Path) -> None:
    bert = BertConfig(
        vocab_size=len(tokenizer()),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    assert "it is a BertForMaskedLM, not a causal LM" in fault(
        saved(tmp_path / "bert", bert, kind=BertForMaskedLM)
    )
    judge = saved(tmp_path / "judge", LlamaConfig(**SIZES), kind=LlamaForSequenceClassification)
    assert "it is a LlamaForSequenceClassification, not a causal LM (LlamaForCausalLM)" in fault(judge)
    edited(base / "config.json", model_type="t5")
    assert "knows no causal LM of the type t5" in fault(base)
    edited(base / "config.json", model_type="brandnew", auto_map={"AutoModelForCausalLM": "modeling.New"})
    assert "of the type brandnew; it comes with its own code, which is never run" in fault(base)
    (base / "config.json").write_text("{")
    assert "config.json is not valid JSON" in fault(base)


def test_a_configuration_that_its_class_refuses(base: Path) -> None:
    edited(base / "config.json", num_hidden_layers="two")
    assert "config.json cannot be loaded (" in fault(base)


def test_a_tokenizer_that_is_missing_or_broken(base: Path) -> None:
    (base / "tokenizer.json").write_text("{")
    assert "its tokenizer cannot be loaded (" in fault(base)
    (base / "tokenizer.json").unlink()
    (base / "tokenizer_config.json").unlink()
    said = fault(base)
    assert "its tokenizer" in said


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "has no chat template; use the chat (instruct) model"),
        (
            "{% for m in messages %}{{ m.content }}",
            "cannot render a conversation of user and assistant (Template",
        ),
        ("{{ raise_exception('Only one turn') }}", "(TemplateError: Only one turn)"),
        ("{{ messages[0]['content'] + 1 }}", "cannot render a conversation"),
        (
            "{% if messages | length > 2 %}{{ raise_exception('one turn!') }}{% endif %}{{ messages[0].content }}",
            "one turn!",
        ),
    ],
)
def test_a_chat_template_that_is_missing_or_broken(base: Path, template: str | None, message: str) -> None:
    if template is None:
        (base / "chat_template.jinja").unlink()
    else:
        (base / "chat_template.jinja").write_text(template)
    assert message in fault(base)


def test_more_tokens_than_embeddings(base: Path) -> None:
    count = len(tokenizer())
    edited(base / "config.json", vocab_size=count - 5)
    assert f"ids up to {count - 1} (e.g. " in fault(base)
    assert f"but the model has only {count - 5} embeddings" in fault(base)


@pytest.mark.parametrize("added", ["pad", "in the template", "never used"])
def test_an_added_token_without_embedding_counts_where_it_is_used(base: Path, added: str) -> None:
    """Gemma 3 1B comes with a token for images that it has no embedding for."""
    words = load(untrained())[1]
    words.add_special_tokens({"pad_token" if added == "pad" else "cls_token": "<extra>"})
    if added == "in the template":
        words.chat_template += "<extra>"
    words.save_pretrained(base)
    if added == "never used":
        words.save_pretrained(base)
        edited(base / "tokenizer_config.json", cls_token=None)
        check_base(base, FITS, in_process=True)
    else:
        assert "(e.g. '<extra>': " in fault(base)


def test_a_context_that_is_too_short(base: Path, tmp_path: Path) -> None:
    said = fault(
        base, **{"warmup.max_tokens": 2048, "training.max_tokens": 512, "policy.max_turn_tokens": 48}
    )
    assert (
        "its context is 256 tokens, less than warmup.max_tokens = 2048, training.max_tokens = 512: lower"
        in said
    )
    window = saved(tmp_path / "window", MistralConfig(**SIZES, sliding_window=96))
    assert "its context is 96 tokens (one sliding window; policy.engine: openai goes beyond it)" in fault(
        window
    )
    check_base(window, FITS, in_process=False)


def test_an_architecture_that_only_servers_run(tmp_path: Path) -> None:
    mamba = saved(
        tmp_path / "mamba", MambaConfig(vocab_size=len(tokenizer()), hidden_size=32, num_hidden_layers=1)
    )
    assert "(mamba) is not a plain attention model: serve it" in fault(mamba)
    check_base(mamba, FITS, in_process=False)


def test_the_settings_of_a_run_are_what_is_asked_of_the_base(base: Path) -> None:
    preflight(check({}, "test"))
    few = {"max_tokens": 200}
    preflight(check({"policy": {"base": str(base)}, "warmup": few, "training": few}, "test"))
    with pytest.raises(PolicyFault, match=r"256 tokens, less than training\.max_tokens = 300"):
        preflight(
            check({"policy": {"base": str(base)}, "warmup": few, "training": {"max_tokens": 300}}, "test")
        )


def test_a_run_is_refused_before_its_first_stage(base: Path, tmp_path: Path) -> None:
    edited(base / "config.json", quantization_config={"quant_method": "gptq"})
    config = check({"policy": {"base": str(base)}, "data_dir": str(tmp_path / "data")}, "test")
    with pytest.raises(PolicyFault, match="its weights are quantised"):
        factory.fn(config)
    assert not (tmp_path / "data" / "shards").exists()


def test_a_home_folder_is_meant_by_its_sign(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = check({"policy": {"base": "~/base"}, "execution": {"accelerate": "~/ddp.yaml"}}, "test")
    assert config.policy.base == base
    assert config.execution.accelerate == tmp_path / "ddp.yaml"
    unknown = check({"policy": {"base": "~nobody-here/base"}}, "test")
    with pytest.raises(PolicyFault, match="~nobody-here/base: there is no such folder"):
        preflight(unknown)


def test_weights_that_transformers_would_draw_at_random_are_refused(base: Path) -> None:
    """No index tells that anything is missing."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(untrained().path, base.with_name("lacking"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        PolicyFault, match=r"lacks 1 of its weights, e\.g\. model\.layers\.1\.mlp\.up_proj\.weight"
    ):
        load(reference(folder))


def test_what_cannot_be_loaded_is_reported_in_one_line(base: Path) -> None:
    edited(base / "config.json", vocab_size=7)
    with pytest.raises(PolicyFault, match=r"base cannot be loaded as a causal LM \(\w+: ") as caught:
        load(reference(base))
    assert "\n" not in str(caught.value)


def test_files_are_looked_at_without_torch(base: Path) -> None:
    (sorted(base.glob("*.safetensors"))[0]).write_bytes(b"")
    script = (
        "import sys; from pathlib import Path; from models.base.model import check_base\n"
        "try: check_base(Path(sys.argv[1]), {}, True)\n"
        "except Exception as fault: print('torch' in sys.modules, fault)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(base)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("False policy.base")
