"""What became of one kind of fault, and the table of all kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.faults.played import Played


class Skipped(Exception):
    """A kind of fault that cannot be tried here; the message says why."""


@dataclass
class Outcome:
    """One line of the table. A fault was survived where the run completed afterwards (started again where it had ended)
    and everything below was as it should be."""

    kind: str
    tried: int = 0
    survived: int = 0
    lost: int = 0
    added: int = 0
    reads: int = 0
    failed_reads: int = 0
    redone: Played = field(default_factory=Played)
    most: int = 0  # batches that may be redone
    skipped: str = ""
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        if self.skipped:
            return f"{self.kind:40} skipped: {self.skipped}"
        reads = f"{self.failed_reads} of {self.reads:,}"
        redone = f"{self.redone.batches} / {self.redone.episodes} (at most {self.most})"
        return f"{self.kind:40}{self.tried:>7}{self.survived:>10}{self.lost:>11}{self.added:>12}{reads:>16}{redone:>26}"


HEAD = (
    f"{'kind of fault':40}{'tried':>7}{'survived':>10}{'rows lost':>11}{'rows added':>12}{'failed reads':>16}"
    f"{'redone: batches / episodes':>28}"
)


def table(outcomes: Sequence[Outcome]) -> str:
    """All kinds, and below them what went wrong."""
    problems = [f"{outcome.kind}: {problem}" for outcome in outcomes for problem in outcome.problems]
    return "\n".join([HEAD, *(outcome.line() for outcome in outcomes), *problems])
