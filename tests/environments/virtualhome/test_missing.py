"""What is said where the package is missing, or another version."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from configs.environment import EnvironmentConfig
from environments.base import EnvironmentFault
from environments.registry import open_world
from environments.virtualhome import simulator

CONFIG = EnvironmentConfig(name="virtualhome")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Look for the package anew."""
    simulator.package_folder.cache_clear()
    yield
    simulator.package_folder.cache_clear()


def test_a_missing_package_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(simulator, "version", missing)
    with pytest.raises(EnvironmentFault) as fault:
        open_world(CONFIG)
    assert "pip install --no-deps virtualhome_eval==0.1.1" in str(fault.value)
    assert "\n" not in str(fault.value)


def test_another_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "version", lambda name: "0.2.0")
    with pytest.raises(EnvironmentFault, match=r"needs virtualhome_eval 0\.1\.1, and 0\.2\.0 is installed"):
        open_world(CONFIG)


def test_options_are_refused() -> None:
    with pytest.raises(EnvironmentFault, match="takes no options"):
        open_world(EnvironmentConfig(name="virtualhome", options={"data": "here"}))


def test_damaged_and_repaired_files_are_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So what was found of a damaged program is not taken for what it says once it is repaired."""
    listed = SimpleNamespace(read_text=lambda name: f"{simulator.PACKAGE}/a.txt,sha256=x,3")
    monkeypatch.setattr(simulator, "distribution", lambda name: listed)
    monkeypatch.setattr(simulator, "package_folder", lambda: tmp_path)
    program = simulator.program_file("a")
    program.parent.mkdir(parents=True)
    program.write_text("[WALK] <room> (1)")
    whole = simulator.files_digest()
    assert simulator.files_digest() == whole
    program.write_text("[WALK] <room")
    damaged = simulator.files_digest()
    simulator.graph_file("a").parent.mkdir(parents=True)
    simulator.graph_file("a").write_text("{}")
    assert len({whole, damaged, simulator.files_digest()}) == 3


def test_a_package_that_is_damaged_is_installed_over() -> None:
    """Without --force-reinstall pip leaves it as it is."""
    assert simulator.INSTALL_AGAIN.startswith(
        "`pip install --force-reinstall --no-deps virtualhome_eval==0.1.1`"
    )
