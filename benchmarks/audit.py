"""What an audit of the dependencies found: python -m benchmarks.audit REPORT.json

`make audit` calls it with the report of pip-audit, which ends well even where it could ask about no package at all.
Ends with status 1 where a package has a known vulnerability, and where a direct dependency was not audited.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
OWN = "steca-factory"


@dataclass(frozen=True)
class Audit:
    """Packages by what is known of them: `vulnerable` with the ids, and `skipped` with the versions."""

    audited: int
    vulnerable: dict[str, list[str]]
    skipped: dict[str, str]

    def unaudited(self, direct: set[str]) -> list[str]:
        """The direct dependencies that nothing is known of. A build of its own (2.13.0+cpu) is not on PyPI: what is
        known of the version without the suffix holds for it, and it is told."""
        return sorted(name for name in direct & self.skipped.keys() if "+" not in self.skipped[name])


def direct_dependencies(project: Path = PROJECT) -> set[str]:
    """Their names as PyPI compares them."""
    listed = tomllib.loads(project.read_text())["project"]["dependencies"]
    return {normal(re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0]) for one in listed}


def normal(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(report: dict[str, Any]) -> Audit:
    """pip-audit's report in JSON."""
    known = [one for one in report["dependencies"] if normal(one["name"]) != OWN]
    return Audit(
        audited=sum("skip_reason" not in one for one in known),
        vulnerable={
            f"{one['name']} {one['version']}": [found["id"] for found in one["vulns"]]
            for one in known
            if one.get("vulns")
        },
        skipped={normal(one["name"]): _version(one["skip_reason"]) for one in known if "skip_reason" in one},
    )


def _version(reason: str) -> str:
    """pip-audit names the version in the reason only: "... could not be audited: torch (2.13.0+cpu)"."""
    found = re.search(r"\(([^()]+)\)\s*$", reason)
    return found[1] if found else ""


def main(path: Path) -> int:
    audit = read(json.loads(path.read_text()))
    known = len(audit.vulnerable)
    print(f"{audit.audited} packages audited, {len(audit.skipped)} not, {known} with known vulnerabilities")
    for name, ids in audit.vulnerable.items():
        print(f"  {name}: {', '.join(ids)}")
    for name, version in audit.skipped.items():
        if "+" in version:
            print(
                f"  {name} {version} is a build of its own: what is known of {version.split('+')[0]} holds for it"
            )
    unaudited = audit.unaudited(direct_dependencies())
    if unaudited:
        print(
            f"not audited, so nothing is known of them: {', '.join(unaudited)}. PyPI's vulnerability data "
            "(https://pypi.org/pypi/NAME/VERSION/json) cannot be reached from here; run this where it can"
        )
    return int(bool(audit.vulnerable or unaudited))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
