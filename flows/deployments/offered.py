"""Which deployments there are: one for each configuration file, one for each stage, and one for comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import configs
from configs.faults import ConfigFault
from configs.forms import values_of
from configs.load import load_config
from flows.runs.derived import NEWEST
from storage.faults import StorageFault
from storage.runs import list_runs

if TYPE_CHECKING:
    from prefect import Flow

SHIPPED = Path(configs.__file__).parent
"""The configurations that come with the project."""


@dataclass(frozen=True)
class Offer:
    """A deployment. `defaults`: what its form begins with; `choices`: what some of its fields offer."""

    name: str
    flow: Flow[..., Any]
    defaults: dict[str, Any]
    description: str
    choices: dict[str, list[str]] = field(default_factory=dict)


def offers(data_dir: Path, folder: Path = SHIPPED) -> tuple[list[Offer], list[str]]:
    """All deployments for the configurations in a folder, and a line for each file there that cannot be used. Their
    runs are in `data_dir`."""
    root, problems = data_dir.expanduser().resolve(), list[str]()
    configured = list(_configured(root, folder.expanduser().resolve(), problems))
    return [*configured, *_stages(root), *_comparisons(root, folder.expanduser().resolve())], problems


def _configured(root: Path, folder: Path, problems: list[str]) -> Iterator[Offer]:
    from flows.factory import factory

    for file in sorted(folder.glob("*.yaml")):
        try:
            config = load_config(file)
        except ConfigFault as fault:
            problems.append(str(fault))
            continue
        defaults = {"config": str(file), **values_of(config), "data_dir": str(root)}
        about = f"{_purpose(file) or _summary(factory)}\n\nThe form begins with the settings of `{file}`."
        yield Offer(file.stem, factory, defaults, about)


def _stages(root: Path) -> Iterator[Offer]:
    from flows.stages import STAGE_FLOWS

    for name, stage in STAGE_FLOWS.items():
        defaults = {"run": NEWEST, "data_dir": str(root)}
        yield Offer(f"rerun-{name}", stage, defaults, _summary(stage), {"run": [NEWEST, *_known_runs(root)]})


def _comparisons(root: Path, folder: Path) -> Iterator[Offer]:
    from flows.compare.flow import compare

    if files := [str(file) for file in sorted(folder.glob("compare/*.yaml"))]:
        first = next((file for file in files if Path(file).stem == "quickstart"), files[0])
        defaults = {"file": first, "data_dir": str(root)}
        yield Offer("compare", compare, defaults, _summary(compare), {"file": files})


def _purpose(file: Path) -> str:
    """What the comment at the beginning of a configuration file says: its lines up to the first command or gap."""
    lines = file.read_text(encoding="utf-8").splitlines()
    comment = takewhile(lambda line: line.startswith("# ") and not line.startswith("#  "), lines)
    return " ".join(line.removeprefix("# ") for line in comment)


def _summary(flow: Flow[..., Any]) -> str:
    """What a flow does, without its parameters, which the form describes."""
    return (flow.description or "").partition("\n\nArgs:")[0]


def _known_runs(root: Path) -> list[str]:
    """Ids of all runs, the newest first. A damaged run file must not keep the others from being offered."""
    try:
        return [run.run_id for run in reversed(list_runs(root))]
    except StorageFault:
        return sorted(path.parent.name for path in (root / "runs").glob("*/run.json"))
