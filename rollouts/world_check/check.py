"""All checks of a world, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from configs.schema import PolicyConfig
from environments.base import EnvironmentFault
from environments.complete import CompleteWorld
from environments.states.calling import TRANSIENT
from environments.versions import source_files
from rollouts.play import EpisodeSettings
from rollouts.world_check.actions import check_admissible, check_nonsense, check_rewards
from rollouts.world_check.experts import (
    check_expert,
    check_grounding,
    check_planner,
    check_recordings,
    check_remarks,
)
from rollouts.world_check.finding import Check, Finding, guarded
from rollouts.world_check.sampling import sample_of
from rollouts.world_check.speed import check_speed
from rollouts.world_check.states import check_determinism, check_independence, check_snapshots
from rollouts.world_check.tasks import check_tasks, listing
from rollouts.world_check.texts import check_texts
from steca.vocabulary import TRAIN

CHECKS: dict[str, Check] = {
    "tasks": check_tasks,
    "remarks": check_remarks,
    "same answers again": check_determinism,
    "environments independent": check_independence,
    "snapshots": check_snapshots,
    "nonsense answered": check_nonsense,
    "admissible actions": check_admissible,
    "rewards and progress": check_rewards,
    "recorded runs": check_recordings,
    "expert": check_expert,
    "thoughts grounded": check_grounding,
    "planner": check_planner,
    "longest text": check_texts,
    "speed": check_speed,
}
BUILDS_ON = {
    "environments independent": ("same answers again",),
    "snapshots": ("same answers again",),
    "planner": ("same answers again", "snapshots"),
}
"""Checks that would only repeat a fault of another one."""
SHOWN_FILES = 5


def check_world(
    world: CompleteWorld,
    settings: EpisodeSettings,
    tasks: int,
    policy: PolicyConfig | None = None,
    doing: Callable[[str], None] = lambda what: None,
) -> Iterator[Finding]:
    """Every finding, as soon as it is there. `tasks`: how many training tasks are used. `policy`: whose context the
    texts have to fit into. `doing` is called with what is done next."""
    faults: set[str] = set()
    for finding in _findings(world, settings, tasks, policy, doing, faults):
        if finding.state == "fault":
            faults.add(finding.check)
        yield finding


def _findings(
    world: CompleteWorld,
    settings: EpisodeSettings,
    tasks: int,
    policy: PolicyConfig | None,
    doing: Callable[[str], None],
    faults: set[str],
) -> Iterator[Finding]:
    """`faults`: the names of the checks that found a fault so far."""
    try:
        yield Finding("version", "ok", _version(world))
        doing("tasks")
        train = listing(world, TRAIN, tasks)
        if train.remark:
            yield train.remark
        sample = sample_of(world, settings, train.tasks, policy, doing)
    except EnvironmentFault as fault:
        yield Finding("start", "fault", str(fault))
        return
    except TRANSIENT as error:
        yield Finding("start", "fault", f"{type(error).__name__}: {error}")
        return
    sample.faults = faults
    for name, check in CHECKS.items():
        if seen := [other for other in BUILDS_ON.get(name, ()) if other in faults]:
            yield Finding(name, "not there", f"not tested: see {seen[0]}")
            continue
        doing(name)
        yield from guarded(name, check)(sample)


def _version(world: CompleteWorld) -> str:
    if not world.version.startswith("source-"):
        return f"{world.version} (raise it when results may change)"
    files = [file.name for file in source_files(world.own)]
    more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
    return f"{world.version} (the digest of its source files: {', '.join(files[:SHOWN_FILES])}{more})"
