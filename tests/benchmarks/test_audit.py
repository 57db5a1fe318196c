"""An audit that reached no data does not pass for one that found nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.audit import direct_dependencies, main, read
from tests.support.tiny_factory import ROOT

SBOM = ROOT / "build" / "sbom.json"


def report(tmp_path: Path, *packages: dict[str, Any]) -> Path:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"dependencies": packages, "fixes": []}))
    return path


def clean(name: str) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": []}


def skipped(name: str, version: str = "1.0") -> dict[str, Any]:
    reason = f"Dependency not found on PyPI and could not be audited: {name} ({version})"
    return {"name": name, "skip_reason": reason}


def test_direct_dependencies_are_those_of_the_project() -> None:
    assert {"duckdb", "pyyaml", "torch", "prefect"} <= direct_dependencies()
    assert "pytest" not in direct_dependencies()


def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = [clean(name) for name in direct_dependencies() - {"torch"}]
    assert main(report(tmp_path, *whole, skipped("torch", "2.13.0+cpu"), skipped("steca-factory"))) == 0
    assert "torch 2.13.0+cpu is a build of its own: what is known of 2.13.0 holds" in capsys.readouterr().out


def test_a_vulnerability_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {**clean("idna"), "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
    assert main(report(tmp_path, found)) == 1
    assert "idna 1.0: PYSEC-1" in capsys.readouterr().out


def test_what_could_not_be_asked_about_is_no_good_news(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = report(tmp_path, *map(skipped, direct_dependencies()))
    assert read(json.loads(path.read_text())).audited == 0
    assert main(path) == 1
    assert "not audited, so nothing is known of them: accelerate, duckdb" in capsys.readouterr().out


@pytest.mark.slow
def test_the_bill_of_materials_names_the_direct_dependencies() -> None:
    """`make sbom` writes it and then runs this."""
    bill = json.loads(SBOM.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "steca-factory"
    named = {part["name"].lower().replace("_", "-"): part for part in bill["components"]}
    assert direct_dependencies() <= named.keys()
    assert all(
        part["version"] and part["purl"].startswith("pkg:pypi/") for part in named.values() if "purl" in part
    )
