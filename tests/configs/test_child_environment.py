"""Processes that are started here get no key that they have no use for."""

from __future__ import annotations

import ast
import json
import os
import sys
from pathlib import Path

import pytest

from configs.child_environment import environment_without_secrets, is_secret_name
from configs.schema import ExecutionConfig
from configs.servers import ReflectorEndpoint, ServerConfig
from models.served.vllm_command import vllm_environment
from models.training.distributed import launching
from tests.support.layers import BELOW
from tests.support.tiny_factory import ROOT

SECRET = "sk-4f1c0ffee"
KEYS = [
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "HF_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
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


@pytest.mark.parametrize(
    "name",
    [
        "TOKEN",
        "PGPASSWORD",
        "API_KEY",
        "apikey",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AWS_ACCESS_KEY_ID",
        "X_PASSWD",
    ],
)
def test_secrets_go_by_many_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, SECRET)
    assert name not in environment_without_secrets()


def test_an_address_with_a_password_is_a_secret_and_a_proxy_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret@host/db")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy:3128")
    monkeypatch.setenv("PLAIN_URL", "http://host:80/a@b")
    left = environment_without_secrets()
    assert ("DATABASE_URL" in left, "HTTPS_PROXY" in left, "PLAIN_URL" in left) == (False, True, True)


NEEDS_KEYS = {
    "cli/compare/workers.py": "runs whole arms, which ask the language models",
    "models/processes/guard.py": "hands on the environment that it got, which is without them already",
}
"""Files that start a process with all of our environment, and why."""
STARTERS = {
    "Popen",
    "run",
    "call",
    "check_call",
    "check_output",
    "create_subprocess_exec",
    "create_subprocess_shell",
}


def starts(tree: ast.AST) -> list[ast.Call]:
    """The calls that start a process."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [
        call
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in STARTERS
        and isinstance(call.func.value, ast.Name)
        and (call.func.value.id == "subprocess" or call.func.attr.startswith("create_subprocess"))
    ]
    return named + [
        call
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and (
            call.func.attr.startswith(("exec", "spawn", "posix_spawn"))
            or call.func.attr in ("system", "popen")
        )
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "os"
    ]


def test_every_process_that_is_started_gets_an_environment_without_secrets_or_is_listed() -> None:
    found: dict[str, str] = {}
    for package in (*BELOW, "docs"):
        for path in sorted((ROOT / package).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            for call in starts(ast.parse(source)):
                given = next((ast.unparse(each.value) for each in call.keywords if each.arg == "env"), "all")
                found[path.relative_to(ROOT).as_posix()] = given
    assert {path for path, given in found.items() if given == "all" or "os.environ" in given} == set(
        NEEDS_KEYS
    )
    clean = ("environment_without_secrets(", "vllm_environment(", "_environment()")
    assert all(
        any(part in given for part in clean) for path, given in found.items() if path not in NEEDS_KEYS
    )
    assert len(found) >= 6


def test_a_call_without_an_environment_is_found() -> None:
    code = "import subprocess, os\nsubprocess.Popen(['x'])\nos.execv('x', [])\nsubprocess.run(['x'], env={})"
    assert len(starts(ast.parse(code))) == 3


def test_the_simulator_of_scienceworld_gets_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("py4j")
    from environments.base import EnvironmentFault
    from environments.scienceworld.simulator import _start

    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\nenv\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("A_FIRST_LINE", "1")
    with pytest.raises(EnvironmentFault, match="Java does not start") as caught:
        _start(tmp_path / "jar", tmp_path)
    assert SECRET not in str(caught.value)


def test_the_prefect_server_gets_no_key_of_a_model() -> None:
    from flows.server.process import _environment

    given = _environment()
    assert not given.keys() & (set(KEYS) - {"OUR_PROVIDER"})
    assert given["PREFECT_API_KEY"] == "pnu-1"
