"""What an import says at its end: tables, and the command that uses the runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from configs.schema import FactoryConfig
from environments.base import Task
from environments.capabilities import Expert
from environments.complete import CompleteWorld
from flows.summary.table import Table
from flows.wording import counted, setting
from flows.work.planning import EXPLORED_PARTS, WARMUP_PARTS
from formats.importing.importing import Imported
from formats.importing.verdicts import KINDS


def tables(found: Imported, files: Sequence[Path]) -> Iterator[Table]:
    """What was read, and why runs were set aside, each kind with its first example."""
    name = files[0].name if len(files) == 1 else f"{len(files)} files"
    rows = [("read", f"{found.read:,}", _counts(found.shapes, "as "))]
    rows.append(("kept", f"{found.kept:,}", _counts(found.matched_by, "by ")))
    rows.append(("set aside", f"{found.set_aside.total():,}", ""))
    yield Table(f"runs of {name}", ("", "runs", "how"), (), tuple(rows))
    if found.set_aside:
        aside = tuple(
            (KINDS[kind], f"{found.set_aside[kind]:,}", found.examples[kind])
            for kind in KINDS
            if kind in found.set_aside
        )
        yield Table("set aside", ("why", "runs", "the first one"), (), aside)


def next_steps(
    found: Imported,
    world: CompleteWorld,
    config: FactoryConfig,
    parts: Mapping[str, Sequence[Task]],
    out: Path,
    given: Sequence[str],
) -> list[str]:
    """What the runs cover, what becomes of the other tasks, and the command that uses them."""
    lines = []
    training = [part for part in (*WARMUP_PARTS, *EXPLORED_PARTS) if parts.get(part)]
    covered = [f"{found.parts[part]:,} of {len(parts[part]):,} in {part}" for part in dict.fromkeys(training)]
    own = world.can(Expert)
    others = "the world's own expert plays them" if own else "they have no demonstration, and are left out"
    lines.append(f"training tasks with an imported run: {'; '.join(covered)}. The others: {others}")
    if found.with_values:
        lines.append(
            f"{counted(found.with_values, 'run')} came with rewards or verdicts of turns. They are not used: the stage "
            "rewards estimates its own"
        )
    changes = [setting("environment.demonstrations", out)]
    if not own and not any(found.parts[part] for part in EXPLORED_PARTS):
        most = min(config.tasks.exploration, config.tasks.demonstrations)
        changes += ["tasks.explore_demonstrated=true", f"tasks.exploration={most}"]
        lines.append("No task to explore has a run: the command below explores the demonstrated ones")
    sets = " ".join(f"--set {change}" for change in changes)
    return [*lines, "Next:", f"  steca run {' '.join(map(shlex.quote, given))}{' ' if given else ''}{sets}"]


def _counts(counts: Mapping[str, int], word: str) -> str:
    return ", ".join(f"{count:,} {word}{name}" for name, count in sorted(counts.items()))
