"""What is said if the package is missing, of another version, or damaged, and if options or tasks do not fit."""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path

import pytest

from environments.base import EnvironmentFault
from environments.scienceworld import package
from environments.scienceworld.environment import ScienceWorldEnvironment, Variation, variation_of
from environments.scienceworld.world import ScienceWorld


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python searches first."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "scienceworld", raising=False)
    return tmp_path


def install(site: Path, version: str, jar: bytes | None) -> Path:
    folder = site / "scienceworld"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise AssertionError('the package must not be imported')")
    if jar is not None:
        (folder / "scienceworld.jar").write_bytes(jar)
    (site / f"scienceworld-{version}.dist-info").mkdir()
    (site / f"scienceworld-{version}.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: scienceworld\nVersion: {version}\n"
    )
    importlib.invalidate_caches()
    return folder / "scienceworld.jar"


def one_line(fault: pytest.ExceptionInfo[EnvironmentFault]) -> str:
    assert "\n" not in str(fault.value)
    return str(fault.value)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "scienceworld", raising=False)
    importlib.invalidate_caches()
    with pytest.raises(EnvironmentFault) as fault:
        ScienceWorld()
    assert one_line(fault).endswith("is not installed: pip install 'steca-factory[scienceworld]'")


def test_another_version(site: Path) -> None:
    install(site, "1.1.0", b"another jar")
    with pytest.raises(EnvironmentFault) as fault:
        package.jar()
    assert one_line(fault).startswith("scienceworld 1.1.0 is installed, but 1.2.3 is needed: pip install")


def test_half_a_jar(site: Path) -> None:
    jar = install(site, "1.2.3", b"PK\x03\x04 and no more")
    with pytest.raises(EnvironmentFault) as fault:
        package.jar()
    assert str(jar) in one_line(fault)
    assert "16 bytes; it may be truncated): pip install --force-reinstall" in one_line(fault)


def test_no_jar(site: Path) -> None:
    jar = install(site, "1.2.3", None)
    with pytest.raises(EnvironmentFault) as fault:
        package.jar()
    assert one_line(fault).startswith(f"{jar}: cannot be read (No such file or directory): pip install")


def test_the_right_jar_is_accepted_and_a_change_is_noticed(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar = install(site, "1.2.3", b"as released")
    monkeypatch.setattr(package, "JAR_SHA256", hashlib.sha256(b"as released").hexdigest())
    assert package.jar() == jar
    jar.write_bytes(b"as released, and then changed")
    with pytest.raises(EnvironmentFault, match="29 bytes"):
        package.jar()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"simplification": ""}, "no option 'simplification'"),
        ({"types": "boil"}, "must be a list"),
        ({"types": []}, "must be a list"),
        ({"types": ["boil", "cook"]}, "no task type 'cook'; it has boil, "),
    ],
)
def test_options_that_do_not_exist(options: dict[str, object], message: str) -> None:
    with pytest.raises(EnvironmentFault, match=message):
        ScienceWorld(options)


def test_a_payload_is_read_back() -> None:
    assert variation_of(Variation("boil", 12).payload) == Variation("boil", 12)


@pytest.mark.parametrize(
    "payload",
    [
        "boil 12 easy 0123456789abcdef",
        f"boil 12  {package.JAR_DIGEST}",
        f"cook 12 easy {package.JAR_DIGEST}",
        f"boil x easy {package.JAR_DIGEST}",
        "",
    ],
)
def test_a_task_of_another_simulator_is_refused(payload: str) -> None:
    with pytest.raises(EnvironmentFault, match="run the stage demonstrate again"):
        variation_of(payload)


def test_a_step_needs_an_episode() -> None:
    def no_simulator() -> None:
        raise AssertionError("no simulator is needed to notice that")

    with pytest.raises(EnvironmentFault, match="call reset"):
        ScienceWorldEnvironment(no_simulator).step("look around")  # type: ignore[arg-type]
