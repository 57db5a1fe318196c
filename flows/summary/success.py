"""How good each policy of a run is, and what training changed."""

from __future__ import annotations

from dataclasses import dataclass

from flows.summary.table import Table, words
from storage.store import Store

SUCCESS = """
SELECT role, round, split, start, n, successes, rate, low, high, reward, reward_low, reward_high FROM success
WHERE run_id = $run AND (role = 'trained' OR round = 1)  -- every round tests the same warm-up policy
ORDER BY split, start_place(start), role DESC, round
"""
CHANGE = """
SELECT split, start, round, only_warmup_won, only_trained_won, change, low, high
FROM success_change WHERE run_id = $run ORDER BY split, start_place(start), round
"""


@dataclass(frozen=True)
class Rate:
    """The success rate and the mean reward of a policy on a split and kind of start, with 95 % Wilson intervals."""

    role: str
    round: int
    split: str
    start: str
    n: int
    successes: int
    rate: float
    low: float
    high: float
    reward: float
    reward_low: float
    reward_high: float

    @property
    def policy(self) -> str:
        """The policy in words."""
        return f"{self.role}, round {self.round}" if self.role == "trained" and self.round > 1 else self.role


@dataclass(frozen=True)
class Change:
    """The trained policy of a round less the warm-up policy on the same tasks, with its 95 % interval for paired
    shares."""

    split: str
    start: str
    round: int
    lost: int
    gained: int
    change: float
    low: float
    high: float


def rates(store: Store, run: str, round: int | None = None) -> list[Rate]:
    """Of each policy, split and kind of start. With `round`: of the warm-up policy and of the one trained in it. Raises
    StorageFault."""
    found = [Rate(*row) for row in store.query(SUCCESS, {"run": run})[1]]
    return [each for each in found if round in (None, each.round) or each.role == "warmup"]


def changes(store: Store, run: str, round: int | None = None) -> list[Change]:
    """Of each round, or of one, split and kind of start. Raises StorageFault."""
    found = [Change(*row) for row in store.query(CHANGE, {"run": run})[1]]
    return [each for each in found if round in (None, each.round)]


def success_table(store: Store, run: str, round: int | None = None) -> Table:
    """Success rate of each policy, split and kind of start, with the 95 % Wilson interval; and the mean reward, where
    rewards are not only 0 and 1."""
    found = rates(store, run, round)
    graded = any(abs(each.reward - each.rate) > 1e-9 for each in found)
    rows = tuple(
        (
            *(each.split, words(each.start), each.policy, str(each.n), str(each.successes)),
            *(f"{each.rate:.3f}", f"{each.low:.3f} - {each.high:.3f}"),
            *((f"{each.reward:.3f}", f"{each.reward_low:.3f} - {each.reward_high:.3f}") if graded else ()),
        )
        for each in found
    )
    right = ("episodes", "won", "rate", "interval", *(("mean reward", "interval") if graded else ()))
    return Table("Success rate (95 % interval)", ("split", "start", "policy"), right, rows)


def change_table(store: Store, run: str, round: int | None = None) -> Table:
    """The trained policies compared with the warm-up policy on the same tasks. 95 % intervals for paired shares."""
    title = "Trained against warm-up policy on the same tasks (95 % interval)"
    rows = tuple(
        (
            *(each.split, words(each.start) + (f", round {each.round}" if each.round > 1 else "")),
            *(
                str(each.lost),
                str(each.gained),
                f"{each.change:+.3f}",
                f"{each.low:+.3f} to {each.high:+.3f}",
            ),
        )
        for each in changes(store, run, round)
    )
    return Table(title, ("split", "start"), ("lost", "gained", "change", "interval"), rows)
