"""The budget of a run: what its rollouts cost, and how many more it can afford."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Literal

from pydantic import BaseModel, ConfigDict

from configs.schema import BudgetConfig
from storage.runs import Spent

BudgetLimit = Literal["rollouts", "tokens", "minutes", "usd"]
CHUNK = 512
"""Most rollouts played and charged together."""
CHUNK_SECONDS = 60.0
"""Target duration of a chunk: unsaved rollouts are lost when the run is killed."""
LIMITED_CHUNK = 64
"""Largest chunk under a limit on tokens, minutes or usd, which a chunk could exceed. CHUNK_SECONDS cuts none below."""
FIRST_CHUNK = 8
"""Largest chunk under such a limit before the cost of a rollout is known."""


class Allowance(BaseModel):
    """What a batch may spend, for another process. `total`: what the whole run has spent; `limits` and `spent` are the
    batch's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    budget: BudgetConfig
    total: Spent
    limits: dict[BudgetLimit, float]
    spent: Spent


class BudgetTracker:
    """Adds up what a run's rollouts cost, and says how many more are affordable. Used by several threads.

    `parts` divides what is left among the batches of a stage, each of which gets a tracker of its own. `limit_reached`
    names the limit that ended a batch early, or is None.
    """

    def __init__(
        self,
        budget: BudgetConfig | None = None,
        spent: Spent | None = None,
        on_charge: Callable[[Spent], None] | None = None,
        on_saved: Callable[[Spent], None] | None = None,
    ) -> None:
        """`on_charge` is called with the total after every charge; `on_saved` once the rollouts charged are on disk, so
        that rollouts lost in a killed run are not charged to the next one."""
        self.budget, self.spent = budget or BudgetConfig(), spent or Spent()
        self.limit_reached: str | None = None
        self._on_charge, self._on_saved = on_charge, on_saved
        self._saved, self._limits = self.spent, _limits(self.budget)
        self._all, self._lock, self._open = self, RLock(), 0

    def parts(self, count: int) -> list[BudgetTracker]:
        """What is left of every limit, divided into equal parts. A part adds up its own costs, which count here too."""
        left = {kind: max(0.0, end - _amounts(self.spent)[kind]) for kind, end in self._limits.items()}
        return [self._part(left, place, count) for place in range(count)]

    def _part(self, left: dict[BudgetLimit, float], place: int, count: int) -> BudgetTracker:
        part = BudgetTracker(self.budget)
        part._all, part._lock = self, self._lock
        part._limits = {kind: amount / count for kind, amount in left.items()}
        if "rollouts" in left:  # in whole rollouts, none of which is left over
            before, after = (int(left["rollouts"]) * at // count for at in (place, place + 1))
            part._limits["rollouts"] = after - before
        return part

    def allowance(self) -> Allowance:
        """This part, for another process. What that spends is charged here."""
        return Allowance(budget=self.budget, total=self._all.spent, limits=self._limits, spent=self.spent)

    @classmethod
    def allowed(cls, allowance: Allowance, on_saved: Callable[[Spent], None]) -> BudgetTracker:
        """A tracker of what another process allows. `on_saved` is called with what was spent under it and saved."""

        def saved(total: Spent) -> None:
            on_saved(_sum(total, allowance.total, -1))

        whole = cls(allowance.budget, allowance.total, on_saved=saved)
        part = whole._part(dict(allowance.limits), 0, 1)
        part._limits, part.spent, part._saved = dict(allowance.limits), allowance.spent, allowance.spent
        return part

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Inside, a batch plays rollouts. Those that overlap share the time."""
        with self._lock:
            self._all._open += 1
        try:
            yield
        finally:
            with self._lock:
                self._all._open -= 1

    def affordable(self, wanted: int) -> int:
        """How many of `wanted` rollouts can be played now, at most one chunk. Sets `limit_reached` if none."""
        used, each = _amounts(self.spent), self._all._each()
        room = min(wanted, CHUNK if set(self._limits) <= {"rollouts"} else LIMITED_CHUNK)
        if each["minutes"]:
            room = min(room, max(LIMITED_CHUNK, int(CHUNK_SECONDS / 60 / each["minutes"])))
        for kind, end in self._limits.items():
            left = end - used[kind]
            fits = int(left / each[kind] + 1e-9) if each[kind] else FIRST_CHUNK * (left > 0)
            if fits < 1:
                self.limit_reached = f"budget.{kind} = {self._all._limits[kind]:,g}"
            room = min(room, max(0, fits))
        return room

    def charge(self, rollouts: int, tokens: int, seconds: float) -> None:
        """Add the cost of rollouts that were played, in so many seconds."""
        with self._lock:
            more = cost(rollouts, tokens, seconds / max(self._all._open, 1), self.budget)
            for tracker in {self, self._all}:
                tracker.spent = _sum(tracker.spent, more)
            if self._all._on_charge:
                self._all._on_charge(self._all.spent)

    def mark_saved(self) -> None:
        """Report that all rollouts charged so far are on disk."""
        with self._lock:
            more, self._saved = _sum(self.spent, self._saved, -1), self.spent
            if self is not self._all:
                self._all._saved = _sum(self._all._saved, more)
            if self._all._on_saved:
                self._all._on_saved(self._all._saved)

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return bool(self._limits)

    @property
    def used(self) -> float:
        """The largest used share of a limit, 0 to 1 or slightly more; 0 without a limit."""
        used = _amounts(self.spent)
        return max((used[kind] / end for kind, end in self._limits.items()), default=0.0)

    @property
    def exhausted(self) -> bool:
        """Whether a limit is reached."""
        used, each = _amounts(self.spent), self._all._each()
        return any(end - used[kind] < max(each[kind], 1e-9) for kind, end in self._limits.items())

    def _each(self) -> dict[BudgetLimit, float]:
        """Mean cost of a rollout so far."""
        played = max(self.spent.rollouts, 1)
        return {
            kind: (1.0 if kind == "rollouts" else used / played)
            for kind, used in _amounts(self.spent).items()
        }


def _limits(budget: BudgetConfig) -> dict[BudgetLimit, float]:
    limits: dict[BudgetLimit, float | None] = {
        "rollouts": budget.rollouts,
        "tokens": budget.tokens,
        "minutes": budget.minutes,
        "usd": budget.usd,
    }
    return {kind: float(end) for kind, end in limits.items() if end is not None}


def _amounts(spent: Spent) -> dict[BudgetLimit, float]:
    return {
        "rollouts": spent.rollouts,
        "tokens": spent.tokens,
        "minutes": spent.seconds / 60,
        "usd": spent.usd,
    }


def _sum(one: Spent, other: Spent, sign: int = 1) -> Spent:
    return Spent(
        rollouts=one.rollouts + sign * other.rollouts,
        tokens=one.tokens + sign * other.tokens,
        seconds=one.seconds + sign * other.seconds,
        usd=one.usd + sign * other.usd,
    )


def cost(rollouts: int, tokens: int, seconds: float, budget: BudgetConfig) -> Spent:
    """The cost of rollouts at the prices of a budget."""
    usd = seconds / 3600 * budget.usd_per_hour + tokens / 1e6 * budget.usd_per_million_tokens
    return Spent(rollouts=rollouts, tokens=tokens, seconds=seconds, usd=usd)


def describe_spending(spent: Spent, budget: BudgetConfig) -> str:
    """What was spent, each part with its limit if it has one."""
    parts: list[tuple[str, float | None, str]] = [
        (f"{spent.rollouts:,}", budget.rollouts, " rollouts"),
        (f"{spent.tokens:,}", budget.tokens, " tokens"),
    ]
    if spent.seconds or budget.minutes:  # a forecast may not know the time
        parts.append((f"{spent.seconds / 60:.1f}", budget.minutes, " min"))
    if budget.usd_per_hour or budget.usd_per_million_tokens:
        parts.append((f"${spent.usd:.2f}" if spent.usd >= 1 else f"${spent.usd:.4f}", budget.usd, ""))
    return ", ".join(f"{used}{f' of {limit:,g}' if limit else ''}{unit}" for used, limit, unit in parts)
