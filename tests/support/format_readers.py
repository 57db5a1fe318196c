"""Reads an export with the library that it is for, in that library's environment (`make formats`):

    .formats/bin/python tests/support/format_readers.py READER EXPORT TOKENIZER

Prints one JSON line a row: the texts that are trained on, one a stretch of tokens whose labels are not ignored; what a
format has besides, where it is not trained on. torchaudio and verl's Qwen2-VL module are replaced by empty modules: the
first wants CUDA, the second another transformers, and neither is used for text.
"""

from __future__ import annotations

import importlib.machinery
import json
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

IGNORED = -100


def empty_module(name: str, **content: Any) -> None:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__dict__.update(content)
    sys.modules[name] = module


def rows_of(out: Path) -> Iterator[dict[str, Any]]:
    for file in sorted((out / "data").glob("*.jsonl")):
        yield from (json.loads(line) for line in file.read_bytes().split(b"\n")[:-1])


def stretches(tokenizer: Any, ids: Sequence[int], labels: Sequence[int]) -> list[str]:
    """The texts of the stretches of tokens that are trained on."""
    pairs = zip(ids, labels, strict=True)
    return [
        tokenizer.decode([token for token, _ in stretch])
        for wanted, stretch in groupby(pairs, key=lambda pair: pair[1] != IGNORED)
        if wanted
    ]


def atif(out: Path, tokenizer: Any) -> Iterator[list[str]]:
    from atif import Trajectory

    for row in rows_of(out):
        steps = Trajectory.model_validate(row).steps
        yield [str(s.message) for s in steps if s.source == "agent" and not s.is_copied_context]


def llamafactory(out: Path, tokenizer: Any, stage: Any = "sft", **settings: Any) -> Iterator[Any]:
    """The whole way: dataset_info.json, conversion, template, labels."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    data = DataArguments(
        template="empty",
        dataset=out.name,
        dataset_dir=str(out),
        cutoff_len=8192,
        overwrite_cache=True,
        **settings,
    )
    template = get_template_and_fix_tokenizer(tokenizer, data)
    arguments = Seq2SeqTrainingArguments(output_dir=str(out.parent / "lf"), use_cpu=True)
    model = ModelArguments(model_name_or_path="none")
    found = get_dataset(template, model, data, arguments, stage=stage, tokenizer=tokenizer)
    for row in found["train_dataset"]:
        if stage == "sft":
            yield stretches(tokenizer, row["input_ids"], row["labels"])
        else:
            yield [
                stretches(tokenizer, row[f"{side}_input_ids"], row[f"{side}_labels"])
                for side in ("chosen", "rejected")
            ]


def llamafactory_last_turn(out: Path, tokenizer: Any) -> Iterator[Any]:
    yield from llamafactory(out, tokenizer, mask_history=True)


def llamafactory_dpo(out: Path, tokenizer: Any) -> Iterator[Any]:
    yield from llamafactory(out, tokenizer, "rm")


def llamafactory_v1(out: Path, tokenizer: Any) -> Iterator[Any]:
    from llamafactory.v1.core.data_engine import DataEngine
    from llamafactory.v1.core.utils.rendering import Renderer

    renderer, engine = Renderer("chatml", tokenizer), DataEngine(str(out / "data"))
    for index in range(len(engine)):
        [row] = renderer.process_samples([engine[index]])
        yield stretches(tokenizer, row["input_ids"], row["labels"])


def axolotl(out: Path, tokenizer: Any) -> Iterator[Any]:
    from axolotl.prompt_strategies.chat_template import load
    from axolotl.utils.dict import DictDefault

    own = {
        "type": "chat_template", "field_messages": "messages", "message_field_training": "train",
        "chat_template": "tokenizer_default",
    }  # fmt: skip
    settings = {"train_on_inputs": False, "sequence_len": 8192, "chat_template": "tokenizer_default"}
    strategy = load(tokenizer, DictDefault({**settings, "eot_tokens": ["<|end|>"]}), DictDefault(own))
    for row in rows_of(out):
        read = strategy.tokenize_prompt(row)
        yield stretches(tokenizer, read["input_ids"], read["labels"])


def axolotl_dpo(out: Path, tokenizer: Any) -> Iterator[Any]:
    from axolotl.prompt_strategies.dpo.chat_template import default
    from axolotl.utils.dict import DictDefault

    settings = DictDefault(
        {"chat_template": "tokenizer_default", "datasets": [{"field_messages": "messages"}]}
    )
    transform, _ = default(settings)
    for row in rows_of(out):
        read = transform(row, tokenizer=tokenizer)
        yield [read["prompt"], read["chosen"], read["rejected"]]


def verl(out: Path, tokenizer: Any) -> Iterator[Any]:
    empty_module("verl.models.transformers.qwen2_vl", get_rope_index=None)
    from omegaconf import OmegaConf
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    settings = OmegaConf.create({"pad_mode": "no_padding", "max_length": 8192, "truncation": "error"})
    files = [str(file) for file in sorted((out / "data").iterdir())]
    data = MultiTurnSFTDataset(files, tokenizer, settings)
    for index in range(len(data)):
        row = data[index]
        ids, mask = row["input_ids"].tolist(), row["loss_mask"].tolist()
        yield stretches(tokenizer, ids, [t if on else IGNORED for t, on in zip(ids, mask, strict=True)])


def verl_rl(out: Path, tokenizer: Any) -> Iterator[Any]:
    empty_module("verl.models.transformers.qwen2_vl", get_rope_index=None)
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    settings = OmegaConf.create(
        {
            "prompt_key": "prompt",
            "max_prompt_length": 8192,
            "filter_overlong_prompts": False,
            "cache_dir": str(out),
        }
    )
    data = RLHFDataset([str(file) for file in sorted((out / "data").iterdir())], tokenizer, settings)
    for index in range(len(data)):
        row = data[index]
        prompt = row["raw_prompt"]
        yield [row["data_source"], next(iter(prompt))["content"], row["reward_model"]["style"]]


READERS: dict[str, Callable[[Path, Any], Iterator[Any]]] = {
    reader.__name__: reader
    for reader in (
        atif, llamafactory, llamafactory_last_turn, llamafactory_dpo, llamafactory_v1, axolotl, axolotl_dpo,
        verl, verl_rl,
    )
}  # fmt: skip


def main(name: str, out: Path, words: Path) -> None:
    empty_module("torchaudio")
    from transformers import AutoTokenizer

    for row in READERS[name](out, AutoTokenizer.from_pretrained(words)):
        print("ROW " + json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
