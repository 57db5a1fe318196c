"""What a finished run came to, asked of the published store."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from cli.terminal import SafeConsole, say
from flows.wording import in_folder
from storage.store import Store

SUCCESS = """
WITH results AS (
    SELECT role, round, split, start, sum(n)::BIGINT AS n, sum(successes)::BIGINT AS won
    FROM success_by_task_type
    WHERE run_id = $run AND (role = 'trained' OR round = 1)  -- every round tests the same warm-up policy
    GROUP BY ALL
)
SELECT role, round, split, start, n, won, wilson_low(won, n), wilson_high(won, n)
FROM results ORDER BY split, start <> 'task', start, role <> 'warmup', round
"""
STAGE_TIMES = """
SELECT stage, round, status, batches, cached_batches, seconds, stopped
FROM run_stages WHERE run_id = $run ORDER BY started_at
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
    "deviated",
    "not_deviated",
    "undecided",
    "filtered",
    "calibrations_kept",
    "calibrations_rejected",
    "examples_calibrated",
    "examples_explored_success",
    "examples_expert_suffix",
    "examples_expert",
)
NEXT = (
    "FROM success_by_task_type WHERE split = 'unseen' ORDER BY task_type, role",
    "SELECT step_index, reference_reward, explored_reward, gap, verdict, rule FROM step_reward_gaps LIMIT 20",
    "FROM calibration_outcomes",
)


def print_summary(console: SafeConsole, data_dir: Path, run: str) -> None:
    """Success rates, counts, times, and what to do next."""
    store = Store(data_dir.expanduser().resolve())
    console.print(success_table(store, run))
    console.print(counts_table(store, run))
    console.print(stages_table(store, run))
    print_costs(console, store, run)
    say(console, f"run    {run}")
    say(console, f"store  {store.published}")
    say(console, "\nAsk it, for example:")
    for sql in NEXT:
        say(console, f'  steca sql{in_folder(store.root)} "{sql}"')


def success_table(store: Store, run: str) -> Table:
    """Success rate of each policy, split and kind of start, with the 95 % Wilson interval."""
    table = Table("split", "start", "policy", title="Success rate (95 % interval)", title_justify="left")
    for heading in ("episodes", "won", "rate", "interval"):
        table.add_column(heading, justify="right")
    _, rows = store.query(SUCCESS, {"run": run})
    for role, round, split, start, n, won, low, high in rows:
        policy = f"{role}, round {round}" if role == "trained" and round > 1 else role
        interval = f"{low:.3f} - {high:.3f}"
        table.add_row(split, start.replace("_", " "), policy, str(n), str(won), f"{won / n:.3f}", interval)
    return table


def counts_table(store: Store, run: str) -> Table:
    """What the run holds."""
    table = Table("what", title="Counts", title_justify="left")
    table.add_column("rows", justify="right")
    _, rows = store.query(f"SELECT {', '.join(COUNTS)} FROM run_summary WHERE run_id = $run", {"run": run})
    for name, value in zip(COUNTS, rows[0], strict=True):
        table.add_row(name.replace("_", " "), f"{value:,}")
    return table


def print_costs(console: SafeConsole, store: Store, run: str) -> None:
    """What language models behind an API cost, and what a kept calibration did; nothing where none was asked."""
    _, rows = store.query(COSTS, {"run": run})
    if not rows:
        return
    table = Table("for", "model", title="Language-model calls", title_justify="left")
    for heading in ("calls", "in (cached)", "out", "$"):
        table.add_column(heading, justify="right")
    for purpose, model, calls, _, _, tokens_in, cached, out, usd, unpriced in rows:
        price = "-" if usd is None else f"{usd:.4f}" + (" + ?" if unpriced else "")
        tokens = f"{_short(tokens_in)} ({_short(cached)})"
        table.add_row(purpose, model[:16], _short(calls), tokens, _short(out), price)
    console.print(table)
    retries, lost = (sum(row[place] for row in rows) for place in (3, 4))
    if retries or lost:
        say(console, f"{retries:,} tries again, {lost:,} requests given up")
    _, each = store.query(EACH, {"run": run})
    for kept, calls, tokens, usd in each:
        if not kept:
            say(console, "no calibration was kept")
            continue
        price = f"${usd:.4f}" if usd is not None else "no price set (budget.prices)"
        say(console, f"each of {kept:,} kept calibrations: {calls:.2f} calls, {tokens:,.0f} tokens, {price}")


def _short(count: int) -> str:
    """A count that fits a column."""
    for unit, size in ((" M", 10**6), (" k", 10**3)):
        if count >= 10 * size:
            return f"{count / size:,.0f}{unit}"
    return f"{count:,}"


def stages_table(store: Store, run: str) -> Table:
    """How long each stage took, and how much of it came from the cache."""
    table = Table("stage", "round", "status", title="Stages", title_justify="left")
    for heading in ("batches", "cached", "seconds"):
        table.add_column(heading, justify="right")
    _, rows = store.query(STAGE_TIMES, {"run": run})
    for stage, round, status, batches, cached, seconds, stopped in rows:
        time = "" if seconds is None else f"{seconds:.1f}"
        how = f"{status}, {stopped}" if stopped else status
        table.add_row(stage, str(round or ""), how, str(batches), str(cached), time)
    return table
