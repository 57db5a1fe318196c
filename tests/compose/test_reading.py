"""How docker-compose.yml and the Dockerfile are read for tests/compose/test_started.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.compose_here.compose_file import read_services, seconds
from tests.support.compose_here.dockerfile import Step, filled, is_ignored, read_steps
from tests.support.compose_here.places import Places, free_addresses
from tests.support.tiny_factory import ROOT

COMPOSE = ROOT / "docker-compose.yml"
PLACES = Places(
    {"postgres": "127.9.9.1", "server": "127.9.9.2"}, {"/app": Path("/r/app"), "/app/data": Path("/r/volume")}
)


def test_services_start_after_those_they_need_and_profiles_stay_out() -> None:
    assert list(read_services(COMPOSE, {"POSTGRES_PASSWORD": "x"})) == [
        "postgres",
        "view",
        "server",
        "worker",
    ]


def test_variables_are_filled_in_and_a_needed_one_is_asked_for() -> None:
    services = read_services(COMPOSE, {"POSTGRES_PASSWORD": "x", "PREFECT_PORT": "4300"})
    assert services["postgres"].environment["POSTGRES_PASSWORD"] == "x"
    assert services["server"].environment["PREFECT_UI_API_URL"] == "http://127.0.0.1:4300/api"
    assert services["worker"].environment["OPENAI_API_KEY"] == ""
    with pytest.raises(ValueError, match=r"POSTGRES_PASSWORD: set it in \.env"):
        read_services(COMPOSE, {"POSTGRES_PASSWORD": ""})


@pytest.mark.parametrize(("text", "value"), [("5s", 5), ("5m", 300)])
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


def test_an_unknown_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="1h30m"):
        seconds("1h30m")


def test_a_circle_is_refused(tmp_path: Path) -> None:
    needs = "{image: a, depends_on: {%s: {condition: service_healthy}}}"
    (tmp_path / "c.yml").write_text(f"services:\n  a: {needs % 'b'}\n  b: {needs % 'a'}\n")
    with pytest.raises(ValueError, match="circle"):
        read_services(tmp_path / "c.yml", {})


def test_the_dockerfile_is_read_with_its_continued_lines() -> None:
    steps = read_steps(ROOT / "Dockerfile")
    assert steps[0] == Step("FROM", "python:3.11-slim")
    environment = next(step for step in steps if step.instruction == "ENV").pairs()
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert steps[-1].exec_form()[:2] == ["steca", "serve"]


def test_an_instruction_that_nobody_carries_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\nONBUILD RUN b\n")
    with pytest.raises(ValueError, match="ONBUILD"):
        read_steps(tmp_path / "Dockerfile")


def test_build_arguments_are_filled_in() -> None:
    assert filled('pip install "prefect==$V" .', {"V": "3"}) == 'pip install "prefect==3" .'


@pytest.mark.parametrize(
    ("path", "ignored"),
    [("data", True), ("configs/data", False), ("flows/server/__pycache__", True), ("flows", False)],
)
def test_ignored_paths(path: str, ignored: bool) -> None:
    assert is_ignored(path, ["data", "**/__pycache__"]) is ignored


@pytest.mark.parametrize(
    ("text", "here"),
    [
        ("http://server:4200/api", "http://127.9.9.2:4200/api"),
        ("postgresql+asyncpg://postgres:x@postgres:5432/postgres", "postgresql+asyncpg://postgres:x@127.9.9.1:5432/postgres"),
        ("pg_isready --host 127.0.0.1 --username prefect", "pg_isready --host 127.9.9.1 --username prefect"),
        ("0.0.0.0", "127.9.9.1"),
        ("/app/data/weights", "/r/volume/weights"),
        ("/app", "/r/app"),
        ("/application /srv/app", "/application /srv/app"),
    ],
)  # fmt: skip
def test_addresses_and_folders_are_those_of_this_machine(text: str, here: str) -> None:
    assert PLACES.here("postgres", text) == here


def test_each_service_has_an_address_of_its_own() -> None:
    addresses = free_addresses(["a", "b"], [5432])
    assert len(set(addresses.values())) == 2
    assert all(address.startswith("127.") and address != "127.0.0.1" for address in addresses.values())
