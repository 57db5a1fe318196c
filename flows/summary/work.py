"""What a run holds and what it cost: its rows, its stages, its calls of language models."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from flows.summary.table import Table, short, words
from storage.store import Store

STAGES = """
SELECT stage, round, status, stopped, batches, cached_batches, seconds, episodes, turns, tokens, usd
FROM stage_costs WHERE run_id = $run
"""
COSTS = """
SELECT purpose, model, sum(calls)::BIGINT, sum(retries)::BIGINT, sum(given_up)::BIGINT,
    sum(prompt_tokens)::BIGINT, sum(cached_tokens)::BIGINT, sum(completion_tokens)::BIGINT,
    sum(usd), sum(unpriced)::BIGINT
FROM llm_costs WHERE run_id = $run GROUP BY ALL ORDER BY purpose, model
"""
EACH = """
SELECT sum(kept)::BIGINT, sum(calls) / nullif(sum(kept), 0), sum(tokens) / nullif(sum(kept), 0),
    sum(usd) / nullif(sum(kept), 0)
FROM calibration_costs WHERE run_id = $run HAVING count(*) > 0
"""
COUNTS = (
    "trajectories",
    "rollouts",
    "lost_episodes",
    "deviated",
    "not_deviated",
    "undecided",
    "filtered",
    "selected",
    "calibrations_kept",
    "calibrations_rejected",
    "examples_calibrated",
    "examples_explored_success",
    "examples_sampled_success",
    "examples_expert_suffix",
    "examples_expert",
    "preference_pairs",
)


def counts_table(store: Store, run: str) -> Table:
    """The numbers of the run's rows. Raises StorageFault."""
    _, rows = store.query(f"SELECT {', '.join(COUNTS)} FROM run_summary WHERE run_id = $run", {"run": run})
    counted = tuple((words(name), f"{value:,}") for name, value in zip(COUNTS, rows[0], strict=True))
    return Table("Counts", ("what",), ("rows",), counted)


def stages_table(store: Store, run: str, skipped: Collection[tuple[str, int]] = ()) -> Table:
    """What each stage came to: its time, its batches, what its rows hold, and its price where it has one. `skipped`:
    (stage, round) of those that had nothing to do. Raises StorageFault."""
    _, found = store.query(STAGES, {"run": run})
    priced = any(usd is not None for *_, usd in found)
    rows = []
    for stage, round, status, stopped, batches, cached, seconds, *held, usd in found:
        name = f"{stage} {round}" if round > 1 else stage
        how = "not needed" if (stage, round) in skipped else f"{status}, {stopped}" if stopped else status
        time = "" if seconds is None else f"{seconds:.1f}"
        price = [] if not priced else ["" if usd is None else f"{usd:.4f}"]
        rows.append((name, how, f"{batches} ({cached})", time, *map(short, held), *price))
    right = ("batches (cached)", "seconds", "episodes", "turns", "tokens", *(("$",) if priced else ()))
    return Table("Stages", ("stage", "status"), right, tuple(rows))


def costs_table(store: Store, run: str) -> Table | None:
    """The costs of language-model calls, and below them those of a kept calibration; None where there were no calls.
    Raises StorageFault."""
    _, found = store.query(COSTS, {"run": run})
    if not found:
        return None
    rows = []
    for purpose, model, calls, _, _, tokens_in, cached, out, usd, unpriced in found:
        price = "-" if usd is None else f"{usd:.4f}" + (" + ?" if unpriced else "")
        rows.append(
            (purpose, model[:16], short(calls), f"{short(tokens_in)} ({short(cached)})", short(out), price)
        )
    retries, lost = (sum(row[place] for row in found) for place in (3, 4))
    failed = (f"{retries:,} retries, {lost:,} failed requests",) if retries or lost else ()
    right = ("calls", "in (cached)", "out", "$")
    notes = (*failed, *_each_calibration(store, run))
    return Table("Language-model calls", ("for", "model"), right, tuple(rows), notes)


def _each_calibration(store: Store, run: str) -> Iterator[str]:
    """What a kept calibration cost, in words."""
    _, each = store.query(EACH, {"run": run})
    for kept, calls, tokens, usd in each:
        if not kept:
            yield "no calibration was kept"
            continue
        price = f"${usd:.4f}" if usd is not None else "no price set (budget.prices)"
        yield f"per kept calibration ({kept:,}): {calls:.2f} calls, {tokens:,.0f} tokens, {price}"
