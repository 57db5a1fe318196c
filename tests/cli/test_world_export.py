"""`steca world export` writes a folder whose server is the world; and what it refuses."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from cli.main import app
from environments.template.world import House, World
from tests.support.own_worlds import in_folder_with_a_world


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with in_folder_with_a_world(tmp_path, "errand", monkeypatch):
        yield


def export(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["world", "export", *words])
    return done.exit_code, done.output


@pytest.mark.parametrize("name", ["errand:World", "errand.py:World"])
def test_the_folder_serves_the_world(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = export(name, "--dir", "out", "--tasks", "3")
    assert code == 0, said
    out = tmp_path / "out"
    assert {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()} == {
        *("openenv.yaml", "world.yaml", "pyproject.toml", "Dockerfile", "errand.py"),
        *("server/__init__.py", "server/app.py"),
    }
    manifest = yaml.safe_load((out / "openenv.yaml").read_text())
    assert (manifest["app"], manifest["validation"]["reward"]["range"]) == ("server.app:app", [0.0, 1.0])
    monkeypatch.chdir(out)
    with TestClient(runpy.run_path("server/app.py")["app"]) as http:
        [served] = http.get("/list_environments").json()
        assert served.lower() == manifest["name"]
        assert http.post(f"/{served}/num_tasks", json={"split": "seen"}).json() == {"num_tasks": 3}
        first = http.post("/reset", json={"split": "seen", "index": 2}).json()["observation"]["text"]
        assert first == House().reset(World().tasks("seen", 3, 0)[2], 0)


def test_settings_are_written_too() -> None:
    options = ["--set", "environment.options.receptacles=6", "--set", "environment.step_cap=9"]
    code, said = export("alfworld-generated", "--dir", "out", *options)
    assert code == 0, said
    assert yaml.safe_load(Path("out/world.yaml").read_text()) == {
        "environment": {"name": "alfworld-generated", "options": {"receptacles": 6}, "step_cap": 9}
    }
    assert not list(Path("out").glob("*.py"))


def test_what_it_cannot_write_is_told_and_nothing_is_left() -> None:
    assert export("errand:World", "--dir", ".")[0] == 1
    code, said = export("errand:Nothing", "--dir", "out")
    assert (code, "has no Nothing" in said) == (1, True)
    assert not Path("out").exists()
