"""Settings: YAML and overrides in, a checked configuration or one line a problem out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from configs.faults import ConfigFault
from configs.load import load_config
from configs.schema import FactoryConfig

ROOT = Path(__file__).parents[2]


def problems(path: Path | None, *overrides: str) -> list[str]:
    with pytest.raises(ConfigFault) as caught:
        load_config(path, overrides)
    return str(caught.value).splitlines()


def written(folder: Path, text: str) -> Path:
    path = folder / "c.yaml"
    path.write_text(text)
    return path


def test_no_file_and_an_empty_file_give_the_defaults(tmp_path: Path) -> None:
    assert load_config(None) == FactoryConfig()
    assert load_config(written(tmp_path, "# nothing\n")) == FactoryConfig()


def test_overrides_are_yaml_and_win_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "rewards: {rollouts: 3, top_p: 0.9}\n")
    config = load_config(
        path, ["rewards.rollouts=8", "evaluation.splits=[validation]", "training.learning_rate=3e-4"]
    )
    assert (config.rewards.rollouts, config.rewards.top_p) == (8, 0.9)
    assert config.evaluation.splits == ("validation",)
    assert config.training.learning_rate == 3e-4
    assert load_config(None, ["training.steps=null"]).training.steps is None


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("rewards.rollouts=0", "rewards.rollouts: got 0; allowed: a whole number >= 1"),
        ("rewards.top_p=2", "rewards.top_p: got 2; allowed: a number > 0 and <= 1"),
        (
            "deviation.preset=papre",
            "deviation.preset: got 'papre'; allowed: one of paper, release, sequential, probable, judge, "
            "first_failure, every_failure",
        ),
        ("rewards.mode=quick", "rewards.mode: got 'quick'; allowed: one of fixed, curtailed, sequential"),
        ("rewards.worth=0", "rewards.worth: got 0; allowed: a whole number >= 1"),
        ("rewards.max_rollouts=0", "rewards.max_rollouts: got 0; allowed: a whole number >= 1"),
        ("deviation.error_rate=0", "deviation.error_rate: got 0; allowed: a number > 0 and < 1"),
        ("deviation.smallest_drop=0", "deviation.smallest_drop: got 0; allowed: a number > 0 and <= 1"),
        ("budget.rollouts=0", "budget.rollouts: got 0; allowed: a whole number >= 1 or empty"),
        ("budget.minutes=0", "budget.minutes: got 0; allowed: a number > 0 or empty"),
        ("training.steps=x", "training.steps: got 'x'; allowed: a whole number >= 1 or empty"),
        ("datasets.calibrated=7", "datasets.calibrated: got 7; allowed: true or false"),
        ("name=Bad Name", "name: got 'Bad Name'; allowed: text matching ^[a-z0-9][a-z0-9-]{0,47}$"),
        (
            "evaluation.splits=[seen, 3]",
            "evaluation.splits.1: got 3; allowed: text",
        ),
        (
            "policy.small.heads=3",
            "policy.small: hidden_size must be a multiple of heads, and heads a multiple of kv_heads",
        ),
        ("training=5", "training: got 5; allowed: a section with fields"),
    ],
)
def test_an_impossible_value_names_the_field_the_value_and_the_range(override: str, line: str) -> None:
    where = "configuration" if "kv_heads" in line else "--set"  # of a section, not of the changed field alone
    assert problems(None, override) == [f"{where}: {line}"]


@pytest.mark.parametrize(
    ("mode", "preset", "advice"),
    [
        ("sequential", "paper", "set rewards.mode to fixed or curtailed, or deviation.preset to sequential"),
        (
            "sequential",
            "release",
            "set rewards.mode to fixed or curtailed, or deviation.preset to sequential",
        ),
        ("curtailed", "sequential", "set rewards.mode to sequential (or fixed)"),
    ],
)
def test_a_mode_that_cannot_serve_the_preset_is_refused(mode: str, preset: str, advice: str) -> None:
    (line,) = problems(None, f"rewards.mode={mode}", f"deviation.preset={preset}")
    assert line.startswith("configuration: ")
    assert "deviation.preset" in line
    assert line.endswith(advice)


@pytest.mark.parametrize(
    ("mode", "presets"),
    [
        ("fixed", ["paper", "release", "sequential", "first_failure", "every_failure"]),
        ("curtailed", ["paper", "release", "first_failure", "every_failure"]),
        ("sequential", ["sequential", "first_failure", "every_failure"]),
    ],
)
def test_the_other_modes_and_presets_go_together(mode: str, presets: list[str]) -> None:
    for preset in presets:
        config = load_config(None, [f"rewards.mode={mode}", f"deviation.preset={preset}"])
        assert (config.rewards.mode, config.deviation.preset) == (mode, preset)


def test_dollars_need_a_price() -> None:
    assert problems(None, "budget.usd=5") == [
        "configuration: budget: usd is limited, but nothing has a price: set usd_per_hour or usd_per_million_tokens"
    ]
    for price in ("usd_per_hour", "usd_per_million_tokens"):
        assert load_config(None, ["budget.usd=5", f"budget.{price}=2"]).budget.usd == 5


def test_an_unknown_field_names_the_nearest_known_one() -> None:
    assert problems(None, "rewards.rollot=2") == [
        "--set: unknown field rewards.rollot; did you mean rewards.rollouts?"
    ]
    assert problems(None, "zzz=1")[0].startswith("--set: unknown field zzz; known: budget, ")


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("threshold", "deviation.delta"),  # its name in a form
        ("delta", "deviation.delta"),
        ("rewards.delta", "deviation.delta"),
        ("seen", "tasks.seen"),  # not seed, which looks like it
        ("rollouts", "budget.rollouts or rewards.rollouts"),
    ],
)
def test_a_field_of_another_section_is_named(field: str, meant: str) -> None:
    assert problems(None, f"{field}=1") == [f"--set: unknown field {field}; did you mean {meant}?"]


def test_every_problem_gets_a_line_that_starts_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "seed: -1\nrewards: {rollouts: 0}\nraunds: 2\n")
    lines = problems(path)
    assert len(lines) == 3
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_broken_yaml_names_file_line_and_column(tmp_path: Path) -> None:
    path = written(tmp_path, "seed: 1\nrewards: [1, 2\nname: x\n")
    assert problems(path) == [f"{path}, line 3, column 5: broken YAML: expected ',' or ']', but got ':'"]


def test_a_field_given_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "seed: 1\nseed: 2\n")
    assert problems(path) == [f"{path}, line 2, column 1: broken YAML: field 'seed' is given twice"]


def test_files_that_are_no_settings_are_refused(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.yaml") == [
        f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory"
    ]
    path = written(tmp_path, "- a\n- b\n")
    assert problems(path) == [f"{path}: must hold fields (name: value), not a list"]
    path.write_bytes(b"name: \xff\xfe\n")
    assert problems(path) == [f"{path}: is not UTF-8 text"]


@pytest.mark.parametrize("override", ["rewards", "=3", "seed.x=1", "seed=[1"])
def test_a_malformed_override_is_refused(override: str, tmp_path: Path) -> None:
    lines = problems(written(tmp_path, "seed: 3\n"), override)
    assert lines[0].startswith(f"--set {override}: ")


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_the_configurations_we_ship_are_valid(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem.replace(".", "-")
    assert (
        FactoryConfig.model_validate(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config
    )


SOURCE = re.compile(r"#.*\[(P|R|D|card|sum)\]")


def unsourced(text: str) -> list[str]:
    """Lines of a configuration that give a value, but do not say where it is from."""
    lines = [line for line in text.splitlines() if re.match(r"\s*[\w.-]+:\s*[^\s#]", line)]
    assert len(lines) > 40
    return [line for line in lines if not SOURCE.search(line)]


@pytest.mark.parametrize("name", ["alfworld-llama3-8b", "alfworld-qwen2.5-1.5b"])
def test_every_value_of_the_papers_setting_names_its_source(name: str) -> None:
    text = (ROOT / "configs" / f"{name}.yaml").read_text()
    assert unsourced(text) == []
    assert unsourced(text.replace("[P] N", "N")) == ["  rollouts: 5             # N"]


def test_the_papers_setting_is_the_papers() -> None:
    for name in ("alfworld-llama3-8b", "alfworld-qwen2.5-1.5b"):
        config = load_config(ROOT / "configs" / f"{name}.yaml")
        rates = (config.warmup.learning_rate, config.training.learning_rate)
        assert (config.rewards.rollouts, config.environment.step_cap, rates) == (5, 40, (2e-5, 3e-6))
        assert (config.warmup.epochs, config.training.epochs, config.datasets.lam) == (3, 1, 0.01)
        assert (config.deviation.preset, config.deviation.delta) == ("paper", 0)
        file = config.execution.accelerate
        assert file is None or (ROOT / file).is_file()


def test_a_batch_that_the_processes_cannot_share_is_refused() -> None:
    line = (
        "configuration: training.batch_size is 15, the trajectories of one step in all processes: make it a "
        "multiple of gradient_accumulation times execution.processes (4)"
    )
    assert problems(None, "training.batch_size=15", "execution.processes=4") == [line]
    assert load_config(None, ["training.batch_size=12", "execution.processes=4"]).execution.processes == 4


def test_every_section_has_a_title_and_every_field_of_it_a_type() -> None:
    schema = FactoryConfig.model_json_schema()
    for name, section in schema["$defs"].items():
        assert section["title"] != name, f"{name} would show its class name in the form"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "execution.server.arguments=[--api-key, sk-1]",
            "name the environment variable with the key in key_env",
        ),
        (
            "execution.server.arguments=[--api-key=sk-1]",
            "name the environment variable with the key in key_env",
        ),
        (
            "execution.server.arguments=[--api_key=sk-1]",
            "name the environment variable with the key in key_env",
        ),
        (
            "execution.server.command=[vllm, --api_key, sk-1]",
            "name the environment variable with the key in key_env",
        ),
        ("execution.server.arguments=[--model, another]", "--model is set automatically for each checkpoint"),
        (
            "execution.server.arguments=[--served_model_name=x]",
            "--served-model-name is set automatically for each checkpoint",
        ),
        ("execution.reflector.base_urls=['https://user:secret@api.example.org/v1']", "base_urls"),
        ("calibration.reflector=llm", "name its model"),
        (
            "execution.server.arguments=[--dtype, float16]",
            "changes what is generated: move it to policy.arguments",
        ),
        (
            "execution.server.arguments=[--max_model_len=9]",
            "changes what is generated: move it to policy.arguments",
        ),
        ("policy.arguments=[--dtype, float16]", "need engine: openai"),
        (
            "execution.reflector.base_urls=['http://127.0.0.1:1/v1']",
            "name the environment variable with its API key in key_env",
        ),
        ("policy.constrain=admissible", "need engine: openai"),
        ("policy.stop=[x]", "need engine: openai"),
    ],
)
def test_what_a_served_model_cannot_have_is_refused(override: str, said: str) -> None:
    with pytest.raises(ConfigFault, match=said):
        load_config(None, [override])


def test_base_urls_lose_their_last_slash() -> None:
    config = load_config(None, ["execution.server.base_urls=['http://127.0.0.1:8000/v1/']"])
    assert config.execution.server.base_urls == ("http://127.0.0.1:8000/v1",)


@pytest.mark.parametrize(
    "override",
    [
        "execution.reflector.key_env=sk-SECRET999",
        "execution.reflector.base_urls=['http://u:sk-SECRET999@h/v1']",
        "execution.server.command=[vllm, --api-key, sk-SECRET999]",
        "policy.arguments=[--api-key=sk-SECRET999]",
    ],
)
def test_a_key_in_the_wrong_place_is_refused_and_not_repeated(override: str) -> None:
    with pytest.raises(ConfigFault) as fault:
        load_config(None, [override])
    assert "SECRET999" not in str(fault.value)


def test_a_reflector_needs_a_server() -> None:
    with pytest.raises(ConfigFault, match="base_urls"):
        load_config(None, ["execution.reflector={base_urls: [], key_env: ''}"])
