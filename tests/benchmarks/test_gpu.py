"""What `benchmarks.gpu` trains and plays has the published sizes, and its cases run: here a tiny model on the CPU."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.gpu.__main__ import row, run
from benchmarks.gpu.cases import (
    CONFIG_OF,
    CONFIGS,
    LONGEST,
    TIMED,
    USUAL,
    Case,
    Scratch,
    data_of,
    timed_tokens,
)
from benchmarks.gpu.chain import ChainFailed, DeviceMemory, run_factory, small_settings
from benchmarks.gpu.games import build_game_base, game_config, game_tokenizer, write_words_only
from benchmarks.gpu.inputs import LLAMA_8B, QWEN_1_5B, TINY, Lengths, examples, random_model, tokenizer
from benchmarks.gpu.plan import plan
from configs.load import load_config
from models.checkpoint import load
from models.local.transformers_policy import TransformersPolicy
from models.policy import Sampling
from models.training.encoding import Encoder
from tests.support.policy_toys import said

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


@pytest.mark.parametrize("shape", [QWEN_1_5B, LLAMA_8B])
def test_playing_is_measured(tmp_path: Path, shape: str) -> None:
    report = run("playing", plan([])[f"{shape}-playing"], Scratch(tmp_path, "cpu", tiny=True), 3)
    assert "error" not in report
    assert [(one["engine"], one["turns"]) for one in report["runs"]] == [
        ("local", 6),
        ("local", 12),
        ("generate", 6),
        ("generate", 12),
        ("local, cache of 1 GiB", 4),
    ]
    assert report["greedy"]["local engine as generate"] > 0.4, "in bfloat16 some turns may differ"


def test_garbage_has_a_known_length_and_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    model, words = load(build_game_base(TINY, tmp_path, "cpu"))
    write_words_only(model, words)
    sampling = Sampling(1.0, max_tokens=40)
    for turn in TransformersPolicy(model, words, "0" * 64).act([said("Go on.")] * 4, range(4), sampling):
        assert (turn.tokens, turn.finish) == (40, "length")
        assert len(words(turn.text)["input_ids"]) == 40


def test_a_word_a_number_and_a_mark_of_the_games_is_a_token() -> None:
    text = "Thought: I need a spoon: spoon 1 is here. I take it.\nAction: take spoon 1 from countertop 2"
    parts = re.findall(r"\w+|[.:\n]", text)
    assert len(game_tokenizer()(text)["input_ids"]) == len(parts) == 25


@pytest.mark.parametrize("shape", CONFIG_OF)
def test_the_chain_takes_the_settings_of_its_configuration(shape: str) -> None:
    file = CONFIGS / f"{CONFIG_OF[shape]}.yaml"
    given, config = load_config(file), game_config(file, *small_settings(shape))
    assert (config.environment.name, config.policy.engine) == ("alfworld-generated", "transformers")
    assert (config.execution.processes, config.execution.accelerate) == (1, None)
    assert (config.training.lora is not None) == (shape == LLAMA_8B)
    for kept in ("prompt", "base", "thinking"):
        assert getattr(config.policy, kept) == getattr(given.policy, kept)
    assert config.training.dtype == given.training.dtype == "bfloat16"


def test_a_factory_that_fails_is_told_from_one_that_is_through(tmp_path: Path) -> None:
    file = CONFIGS / "quickstart.yaml"
    with pytest.raises(ChainFailed, match="status"):
        run_factory(file, [f"data_dir={tmp_path}", "policy.base=/nowhere"])


def test_the_memory_of_a_stage_is_what_was_sampled_in_it() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    samples = [(start + timedelta(seconds=i), gb) for i, gb in enumerate((1.0, 9.0, 4.0, 99.0))]
    memory = DeviceMemory(samples)
    assert memory.between(start, start + timedelta(seconds=2)) == {"peak_gb": 9.0, "end_gb": 4.0}
    assert memory.between(start + timedelta(hours=1), start + timedelta(hours=2)) == {}


def test_a_case_that_fails_is_reported(tmp_path: Path) -> None:
    def fails(scratch: Scratch, steps: int) -> dict[str, object]:
        raise ValueError("no memory")

    found = run("a case", fails, Scratch(tmp_path, "cpu", tiny=True), 3)
    assert found["error"] == "ValueError: no memory"
