"""What rollouts cost, and how many more may be made: the budget of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from configs.schema import BudgetConfig
from storage.runs import Spent

BudgetLimit = Literal["rollouts", "tokens", "minutes", "usd"]
CHUNK = 512
"""Rollouts that are played and paid for together, at most."""
CHUNK_SECONDS = 60.0
"""About how long they may take: what is played but not filed is lost when the run is killed."""
LIMITED_CHUNK = 64
"""The most where a limit other than their number could be passed meanwhile, and the least that a chunk is cut to."""
FIRST_CHUNK = 8
"""The same while nothing is known of the price of one."""


class BudgetTracker:
    """Counts what a run's rollouts cost, and says how many more fit.

    `share` opens a part of what is left, so that the batches of a stage share a budget; `cut` then says which limit
    ended the batch's work, None where none did.
    """

    def __init__(
        self,
        budget: BudgetConfig | None = None,
        spent: Spent | None = None,
        paid: Callable[[Spent], None] | None = None,
        kept: Callable[[Spent], None] | None = None,
    ) -> None:
        """`paid` hears of every payment; `kept` of those whose rollouts are on disk, so that what a killed run lost is
        not charged to the next one."""
        self.budget, self.spent = budget or BudgetConfig(), spent or Spent()
        self.cut: str | None = None
        self._paid, self._kept, self._open = paid, kept, self._limits()

    def share(self, part: float) -> None:
        """Open `part` (0 to 1) of what is left of every limit, and forget what cut the work before."""
        used = self._used()
        self._open = {
            kind: used[kind] + part * max(0.0, end - used[kind]) for kind, end in self._limits().items()
        }
        self.cut = None

    def room(self, wanted: int) -> int:
        """How many of `wanted` rollouts may be made now: at most a chunk. Notes what cut them where it is none."""
        used, each = self._used(), self._each()
        room = min(wanted, CHUNK if set(self._open) <= {"rollouts"} else LIMITED_CHUNK)
        if each["minutes"]:
            room = min(room, max(LIMITED_CHUNK, int(CHUNK_SECONDS / 60 / each["minutes"])))
        for kind, end in self._open.items():
            left = end - used[kind]
            fits = int(left / each[kind] + 1e-9) if each[kind] else FIRST_CHUNK * (left > 0)
            if fits < 1:
                self.cut = f"budget.{kind} = {self._limits()[kind]:,g}"
            room = min(room, max(0, fits))
        return room

    def pay(self, rollouts: int, tokens: int, seconds: float) -> None:
        """Count rollouts that were made."""
        more, spent = cost(rollouts, tokens, seconds, self.budget), self.spent
        self.spent = Spent(
            rollouts=spent.rollouts + more.rollouts,
            tokens=spent.tokens + more.tokens,
            seconds=spent.seconds + more.seconds,
            usd=spent.usd + more.usd,
        )
        if self._paid:
            self._paid(self.spent)

    def keep(self) -> None:
        """All that was paid for is on disk."""
        if self._kept:
            self._kept(self.spent)

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return bool(self._open)

    @property
    def exhausted(self) -> bool:
        """Whether a limit of the whole budget is reached."""
        used, each = self._used(), self._each()
        return any(end - used[kind] < max(each[kind], 1e-9) for kind, end in self._limits().items())

    def _limits(self) -> dict[BudgetLimit, float]:
        budget = self.budget
        limits: dict[BudgetLimit, float | None] = {
            "rollouts": budget.rollouts,
            "tokens": budget.tokens,
            "minutes": budget.minutes,
            "usd": budget.usd,
        }
        return {kind: float(end) for kind, end in limits.items() if end is not None}

    def _used(self) -> dict[BudgetLimit, float]:
        spent = self.spent
        return {
            "rollouts": spent.rollouts,
            "tokens": spent.tokens,
            "minutes": spent.seconds / 60,
            "usd": spent.usd,
        }

    def _each(self) -> dict[BudgetLimit, float]:
        """What one rollout has cost on average."""
        made = max(self.spent.rollouts, 1)
        return {kind: (1.0 if kind == "rollouts" else used / made) for kind, used in self._used().items()}


def cost(rollouts: int, tokens: int, seconds: float, budget: BudgetConfig) -> Spent:
    """What rollouts cost at the prices of a budget."""
    usd = seconds / 3600 * budget.usd_per_hour + tokens / 1e6 * budget.usd_per_million_tokens
    return Spent(rollouts=rollouts, tokens=tokens, seconds=seconds, usd=usd)


def in_words(spent: Spent, budget: BudgetConfig) -> str:
    """What was spent, each part beside its limit where it has one."""
    parts: list[tuple[str, float | None, str]] = [
        (f"{spent.rollouts:,}", budget.rollouts, " rollouts"),
        (f"{spent.tokens:,}", budget.tokens, " tokens"),
    ]
    if spent.seconds or budget.minutes:  # a forecast may not know the time
        parts.append((f"{spent.seconds / 60:.1f}", budget.minutes, " min"))
    if budget.usd_per_hour or budget.usd_per_million_tokens:
        parts.append((f"${spent.usd:.2f}" if spent.usd >= 1 else f"${spent.usd:.4f}", budget.usd, ""))
    return ", ".join(f"{used}{f' of {limit:,g}' if limit else ''}{unit}" for used, limit, unit in parts)
