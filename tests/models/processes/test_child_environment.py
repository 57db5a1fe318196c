"""Processes that are started here get no key that they have no use for."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from configs.schema import ExecutionConfig
from configs.servers import ReflectorEndpoint, ServerConfig
from models.processes.child_environment import environment_without_secrets, is_secret_name
from models.served.vllm_command import vllm_environment
from models.training.distributed import launching

SECRET = "sk-4f1c0ffee"
KEYS = [
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "HF_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "OUR_PROVIDER",
    "VLLM_API_KEY",
]


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("PREFECT_API_KEY", "pnu-1")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")


def execution() -> ExecutionConfig:
    return ExecutionConfig(
        server=ServerConfig(key_env="POLICY_PLACE"),
        reflector=ReflectorEndpoint(base_urls=("http://127.0.0.1:1/v1",), key_env="OUR_PROVIDER"),
    )


def test_the_configuration_knows_the_variables_with_its_keys() -> None:
    assert execution().key_variables == ("POLICY_PLACE", "OUR_PROVIDER")
    assert ExecutionConfig().key_variables == ("OPENAI_API_KEY",)


def test_named_and_usual_keys_are_taken_out_and_nothing_else_is() -> None:
    left = environment_without_secrets(execution().key_variables)
    assert os.environ.keys() - left.keys() >= {*KEYS, "PREFECT_API_KEY"}
    assert all(is_secret_name(name) for name in os.environ.keys() - left.keys() - {"OUR_PROVIDER"})
    assert left["TOKENIZERS_PARALLELISM"] == "false"
    assert left["PATH"] == os.environ["PATH"]
    assert environment_without_secrets(except_prefix="PREFECT_")["PREFECT_API_KEY"] == "pnu-1"
    assert SECRET not in environment_without_secrets(["OUR_PROVIDER"], except_prefix="PREFECT_").values()


def test_vllm_gets_its_own_key_only() -> None:
    assert SECRET not in vllm_environment("/usr/bin/python", "", ["OUR_PROVIDER"]).values()
    given = vllm_environment("/usr/bin/python", "sk-vllm", ["OUR_PROVIDER"])
    assert given["VLLM_API_KEY"] == "sk-vllm"
    assert SECRET not in given.values()


def test_a_training_in_processes_gets_none(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    code = f"import json, os; json.dump(dict(os.environ), open({str(report)!r}, 'w'))"
    command = [sys.executable, "-c", code]
    assert launching._run(command, tmp_path / "log", None, execution().key_variables) == 0
    found = json.loads(report.read_text())
    assert found["TOKENIZERS_PARALLELISM"] == "false"
    assert SECRET not in found.values()
