"""What is said where the package is missing, or another version."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

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
