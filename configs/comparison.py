"""Comparison files: several arms, each a few settings laid over one base configuration, over several seeds.

The whole comparison is checked before any work starts: the file, and every arm as a configuration of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator

from configs.cache_inputs import run_id_settings
from configs.faults import ConfigFault
from configs.load import apply, check, lay_over, read_yaml, validated
from configs.rules import refuse_conflicts
from configs.schema import FactoryConfig
from configs.section import Count, HomePath, Positive, Section

WARM_UP = "warm-up"
"""The row of the policy that all arms start from."""
DECIDED = ("name", "seed", "data_dir")
"""Settings that an arm cannot change: the comparison gives each run its name and seed, and all share a folder."""
_ARM = re.compile(r"[^\s,=][^,=\n\t]{0,38}[^\s,=]|[^\s,=]")
Seeds = Annotated[tuple[Count, ...], Field(min_length=1)]


class ComparisonFile(Section):
    """A comparison, as a user writes it."""

    model_config = ConfigDict(title="Comparison")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,23}$")] = Field(
        description="Short name. The names of its runs start with it."
    )
    config: HomePath = Field(description="Base configuration, relative to this file.")
    seeds: Positive | Seeds = Field(
        3, description="How many seeds, from the configuration's on, or a list of seeds."
    )
    set: tuple[str, ...] = Field(
        (), description="Changes of the base configuration, e.g. tasks.unseen=300, as --set makes them."
    )
    reference: str = Field(description="The arm that all others are compared with.")
    arms: Annotated[dict[str, dict[str, Any]], Field(min_length=2)] = Field(
        description="By name, the settings of each arm, laid over the base configuration."
    )

    @field_validator("arms", mode="before")
    @classmethod
    def _named(cls, arms: object) -> object:
        """An arm without settings is the base configuration itself."""
        if not isinstance(arms, dict):
            return arms
        for name in arms:
            if not isinstance(name, str) or not _ARM.fullmatch(name) or name.startswith(WARM_UP):
                raise ValueError(
                    f"{name!r} cannot name an arm: use a text of at most 40 characters without a comma or =, that "
                    f"does not start with {WARM_UP}, which is the policy that all arms start from"
                )
        return {name: {} if settings is None else settings for name, settings in arms.items()}


@dataclass(frozen=True)
class Comparison:
    """A checked comparison. `arms` has the changed settings of each arm by their dotted names, in the file's order."""

    name: str
    source: str
    base: Mapping[str, Any]
    arms: Mapping[str, Mapping[str, Any]]
    reference: str
    seeds: tuple[int, ...]

    def config(self, arm: str, seed: int) -> FactoryConfig:
        """The configuration of one arm of one seed. Raises ConfigFault."""
        settings = _copied(self.base)
        for name, value in self.arms[arm].items():
            *path, last = name.split(".")
            lay_over(settings, _nested(path, {last: value}))
        settings |= {"name": f"{self.name}-{_slug(arm)}"[:48].rstrip("-"), "seed": seed}
        return check(settings, _place(self.source, arm))

    @property
    def data_dir(self) -> Path:
        """The data folder of all its runs, absolute."""
        return self.config(self.reference, self.seeds[0]).data_dir.expanduser().resolve()

    def part(self, arms: Sequence[str] = (), seeds: Sequence[int] = ()) -> Comparison:
        """The same with some arms only, in the file's order, and other seeds. Raises ConfigFault."""
        for arm in arms:
            if arm not in self.arms:
                raise ConfigFault(f"{self.source}: there is no arm {arm}; known: {', '.join(self.arms)}")
        kept = {arm: changes for arm, changes in self.arms.items() if not arms or arm in arms}
        return replace(self, arms=kept, seeds=tuple(seeds) or self.seeds)


def load_comparison(
    path: Path, overrides: Sequence[str] = (), seeds: int | Sequence[int] = (), data_dir: Path | None = None
) -> Comparison:
    """The comparison in a file. `overrides` ("tasks.unseen=300") change its base configuration, `seeds` and `data_dir`
    replace the file's. Raises ConfigFault with one line for each problem of the file, its base configuration or an
    arm."""
    written = read_yaml(path)
    if _is_of_a_run(written):
        raise ConfigFault(f"{path}: is the configuration of a run: use `steca run --config {path}`")
    file = validated(ComparisonFile, written, str(path))
    base = _base(file, path, overrides)
    if data_dir is not None:
        base["data_dir"] = data_dir
    first = int(base.get("seed", FactoryConfig().seed))
    if file.reference not in file.arms:
        raise ConfigFault(f"{path}: reference: {file.reference!r} is not an arm: {', '.join(file.arms)}")
    comparison = Comparison(
        name=file.name,
        source=str(path),
        base=base,
        arms={name: dict(_flat(arm, _place(str(path), name))) for name, arm in file.arms.items()},
        reference=file.reference,
        seeds=_seeds(seeds or file.seeds, first, f"{path}: seeds"),
    )
    _check_arms(comparison)
    return comparison


def _is_of_a_run(written: Mapping[str, Any]) -> bool:
    """Whether a file has settings of a run, and nothing that only a comparison has."""
    settings = FactoryConfig.model_fields.keys() - {"name"}  # a comparison has a name too
    return bool(settings & written.keys()) and not {"arms", "config"} & written.keys()


def _base(file: ComparisonFile, path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    config = Path(os.path.normpath(path.parent / file.config))  # an absolute path stays as it is
    base = read_yaml(config)
    check(base, str(config))
    for override in file.set:
        apply(base, override, f"{path}: set")
    for override in overrides:
        apply(base, override)
    refuse_conflicts(check(base, f"{config}, as {path} changes it"), str(config))
    return base


def _check_arms(comparison: Comparison) -> None:
    """Raises ConfigFault for arms that are no configuration, that change what they cannot, or that are the same."""
    problems: list[str] = []
    same: dict[str, str] = {}
    for arm, changes in comparison.arms.items():
        place = _place(comparison.source, arm)
        problems += [
            f"{place}: {name} cannot be changed by an arm: all arms share it"
            for name in changes
            if name.split(".")[0] in DECIDED
        ]
        try:
            config = comparison.config(arm, comparison.seeds[0])
            refuse_conflicts(config, place)
        except ConfigFault as fault:
            problems.append(str(fault))
            continue
        twin = same.setdefault(repr(run_id_settings(config)), arm)
        if twin != arm:
            problems.append(f"{place}: has the same settings as arm {twin}: change one, or remove one")
    if problems:
        raise ConfigFault("\n".join(problems))


def _seeds(seeds: int | Sequence[int], first: int, place: str) -> tuple[int, ...]:
    found = tuple(range(first, first + seeds)) if isinstance(seeds, int) else tuple(seeds)
    if len(set(found)) < len(found):
        raise ConfigFault(f"{place}: {', '.join(map(str, found))}: list each seed once")
    return found


def _flat(settings: Mapping[Any, Any], place: str, above: str = "") -> Iterable[tuple[str, Any]]:
    """Settings in nested sections or under dotted names, by their dotted names. Raises ConfigFault where a setting is
    given in both ways."""
    seen: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{above}{key}"
        below = _flat(value, place, f"{name}.") if isinstance(value, dict) and value else [(name, value)]
        for full, setting in below:
            if full in seen:
                raise ConfigFault(f"{place}: {full} is given twice")
            seen[full] = setting
    return seen.items()


def _nested(path: Sequence[str], value: dict[str, Any]) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    return value


def _copied(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _copied(value) if isinstance(value, dict) else value for name, value in settings.items()}


def _place(source: str, arm: str) -> str:
    return f"{source}, arm {arm}"


def _slug(arm: str) -> str:
    """The name of an arm in the names of runs: "SFT+" becomes "sft-plus"."""
    return "-".join(re.findall(r"[a-z0-9]+", arm.lower().replace("+", " plus "))) or "arm"
