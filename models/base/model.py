"""Finds defects of a base model's folder in seconds, without loading its weights.

One function per defect; each returns the rest of a message that starts with the folder's name, or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.json_text import parse_json
from models.base.weight_files import broken_weights
from models.checkpoint_ref import no_safetensors
from models.context_length import context_length
from models.policy import PolicyFault, describe_error

CONFIG = "config.json"
_QUANTISED = ("quantization_config", "compression_config")
_CAUSAL_LM_ENDINGS = ("ForCausalLM", "LMHeadModel")


def check_base(
    folder: Path,
    longest: Mapping[str, int],
    in_process: bool,
    thinking: bool = False,
    setting: str = "policy.base",
    trained: bool = True,
) -> None:
    """Raises PolicyFault with the first defect of a model that cannot be trained or run.

    `longest`: the context length in tokens that each setting needs. `in_process`: the engine transformers will run it,
    which supports fewer models than training does. `thinking`: with thinking turns. `setting`: the one that names the
    folder. `trained`: it will be trained, so that its weights must not be quantised.
    """
    checks = [check for check in FOLDER_CHECKS if trained or check is not quantised]
    fault = next((fault for check in checks if (fault := check(folder))), None)
    if not fault:
        from models.base.template import check_template
        from models.base.tokenizer import tokenizer_fault

        config = _loaded_config(folder, setting)
        fault = short_context(config, longest, in_process)
        fault = tokenizer_fault(folder, config.get_text_config().vocab_size) or fault
    if fault:
        raise PolicyFault(f"{setting} {folder}: {fault}")
    if fault := check_template(folder, thinking, setting):
        raise PolicyFault(fault)


def missing(folder: Path) -> str | None:
    if not folder.exists():
        name = folder.as_posix()
        hub = f", e.g. by hf download {name} --local-dir {name}" if _may_be_hub_name(folder) else ""
        return f"there is no such folder (relative to {Path.cwd()}); models are not downloaded: download it first{hub}"
    if not folder.is_dir():
        return "it is a file; give the folder of a Hugging Face model"
    if (folder / CONFIG).is_file():
        return None
    if (folder / "adapter_config.json").is_file():
        return "it has adapters only; merge them into their model (peft: merge_and_unload, save_pretrained)"
    return f"it has no {CONFIG}, so it is not a model folder; give the folder of a Hugging Face model"


def broken_config(folder: Path) -> str | None:
    try:
        whole = isinstance(_read_config(folder).get("model_type"), str)
    except (OSError, ValueError, AttributeError):
        return f"{CONFIG} is not valid JSON (it may be truncated): download it again"
    return None if whole else f"{CONFIG} has no model_type: get the model in the format of transformers"


def quantised(folder: Path) -> str | None:
    config = _read_config(folder)
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    found = next((part[key] for part in parts for key in _QUANTISED if part.get(key)), None)
    if found is None:
        return None
    named = found.get("quant_method") if isinstance(found, dict) else None
    kind = str(named or "of an unnamed kind")
    return f"its weights are quantised ({kind}) and cannot be trained: get the unquantised model"


def no_causal_lm(folder: Path) -> str | None:
    from models.local.hf_internals import causal_lm_classes

    config = _read_config(folder)
    kind, listed = config["model_type"], config.get("architectures")
    given = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    names = causal_lm_classes(kind)
    if not names:
        code = "; it comes with its own code, which is never run" if config.get("auto_map") else ""
        return f"transformers knows no causal LM of the type {kind}{code}: use another model, or a newer transformers"
    if not given or any(name in names or name.endswith(_CAUSAL_LM_ENDINGS) for name in given):
        return None
    return f"it is a {given[0]}, not a causal LM ({', '.join(names)}): use the model that generates text"


def short_context(config: Any, longest: Mapping[str, int], in_process: bool) -> str | None:
    """Compares the context length that the settings need with the model's positions, or with its sliding window if the
    engine stays within one."""
    text = config.get_text_config()
    positions = getattr(text, "max_position_embeddings", None)
    try:
        context = context_length(config, "the model") if in_process else positions
    except PolicyFault as fault:
        return str(fault)
    asked = [f"{name} = {tokens}" for name, tokens in longest.items() if context and tokens > context]
    if not asked:
        return None
    window = " (one sliding window; policy.engine: openai goes beyond it)" if context != positions else ""
    return (
        f"its context is {context} tokens{window}, less than {', '.join(asked)}: lower that, or use a model with a "
        "longer context"
    )


FOLDER_CHECKS = (missing, no_safetensors, broken_config, quantised, broken_weights, no_causal_lm)
"""In this order: each relies on what those before it have found in order."""


def _read_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = parse_json((folder / CONFIG).read_text(encoding="utf-8"))
    return config


def _loaded_config(folder: Path, setting: str) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # its classes raise many kinds of errors
        raise PolicyFault(
            f"{setting} {folder}: {CONFIG} cannot be loaded ({describe_error(error)}): download the model again"
        ) from error


def _may_be_hub_name(folder: Path) -> bool:
    return not folder.is_absolute() and len(folder.parts) == 2 and not folder.parent.exists()
