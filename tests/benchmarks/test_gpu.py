"""What `benchmarks.gpu` trains has the published sizes, and its cases run: here with a tiny model on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.gpu.__main__ import row, run
from benchmarks.gpu.cases import LONGEST, TIMED, USUAL, Case, Scratch, data_of, plan, timed_tokens
from benchmarks.gpu.inputs import LLAMA_8B, QWEN_1_5B, Lengths, examples, random_model, tokenizer
from models.training.encoding import Encoder

each_case = pytest.mark.parametrize("case", TIMED.values(), ids=TIMED)


@pytest.mark.parametrize(("shape", "weights"), [(QWEN_1_5B, 1_543_714_304), (LLAMA_8B, 8_030_261_248)])
def test_the_models_have_the_published_number_of_weights(shape: str, weights: int) -> None:
    assert random_model(shape, "meta").num_parameters() == weights


@pytest.mark.parametrize("lengths", [USUAL, LONGEST], ids=["usual", "longest"])
def test_conversations_have_the_lengths_that_they_are_asked_for(lengths: Lengths) -> None:
    encode = Encoder(tokenizer(), 4096).encode
    found = [encode(example) for example in examples(8, lengths)]
    assert all(0.9 * lengths.shortest < len(item["input_ids"]) < 1.03 * lengths.longest for item in found)


@each_case
def test_a_pass_has_one_trajectory(case: Case) -> None:
    config = case.settings(3)
    assert config.batch_size == config.gradient_accumulation
    assert (config.dtype, config.gradient_checkpointing, config.loss) == ("bfloat16", True, "sum")
    assert (config.lora is not None) == (case.method == "LoRA")


@pytest.mark.parametrize("name", ["1.5b-lora-likelihood", "1.5b-lora-dpo"])
def test_a_case_is_measured(tmp_path: Path, name: str) -> None:
    scratch = Scratch(tmp_path, "cpu", tiny=True)
    report = json.loads(json.dumps(run(name, plan([])[name], scratch, 3)))
    assert "error" not in report
    assert report["tokens_per_second"] > 0
    config = TIMED[name].settings(3)
    assert report["tokens_per_step"] == timed_tokens(data_of(TIMED[name], config, scratch, tmp_path), config)
    assert row(name, report).startswith(name)


def test_a_case_that_fails_is_reported(tmp_path: Path) -> None:
    def fails(scratch: Scratch, steps: int) -> dict[str, object]:
        raise ValueError("no memory")

    found = run("a case", fails, Scratch(tmp_path, "cpu", tiny=True), 3)
    assert found["error"] == "ValueError: no memory"
