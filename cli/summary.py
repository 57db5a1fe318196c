"""The results of a run, from the published store."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from rich.table import Table

from cli.terminal.console import SafeConsole, say
from flows.runs import skipped_stages
from flows.wording import in_folder
from storage.runs import RunFolder
from storage.store import Store

SUCCESS = """
SELECT role, round, split, start, n, successes, rate, low, high FROM success
WHERE run_id = $run AND (role = 'trained' OR round = 1)  -- every round tests the same warm-up policy
ORDER BY split, start_place(start), role DESC, round
"""
CHANGE = """
SELECT split, start, round, only_warmup_won, only_trained_won, change, low, high
FROM success_change WHERE run_id = $run ORDER BY split, start_place(start), round
"""
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
NEXT = (
    "FROM success_by_task_type WHERE split = 'unseen'",
    "SELECT step_index, reference_reward, explored_reward, gap, verdict, rule FROM step_reward_gaps LIMIT 20",
    "FROM calibration_outcomes",
    "FROM help WHERE column_name IS NULL",
)


def print_summary(console: SafeConsole, data_dir: Path, run: str) -> None:
    """Print success rates, counts, times, costs and queries to start with."""
    store = Store(data_dir.expanduser().resolve())
    console.print(success_table(store, run))
    console.print(change_table(store, run))
    console.print(counts_table(store, run))
    console.print(stages_table(store, run, skipped_stages(RunFolder(store.root, run))))
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
    for role, round, split, start, n, won, rate, low, high in rows:
        policy = f"{role}, round {round}" if role == "trained" and round > 1 else role
        table.add_row(
            split, _words(start), policy, str(n), str(won), f"{rate:.3f}", f"{low:.3f} - {high:.3f}"
        )
    return table


def change_table(store: Store, run: str) -> Table:
    """The trained policies compared with the warm-up policy on the same tasks. 95 % intervals for paired shares."""
    title = "Trained against warm-up policy on the same tasks (95 % interval)"
    table = Table("split", "start", title=title, title_justify="left")
    for heading in ("lost", "gained", "change", "interval"):
        table.add_column(heading, justify="right")
    _, rows = store.query(CHANGE, {"run": run})
    for split, start, round, lost, gained, change, low, high in rows:
        where = f"{_words(start)}, round {round}" if round > 1 else _words(start)
        table.add_row(split, where, str(lost), str(gained), f"{change:+.3f}", f"{low:+.3f} to {high:+.3f}")
    return table


def _words(start: str) -> str:
    return start.replace("_", " ")


def counts_table(store: Store, run: str) -> Table:
    """The numbers of the run's rows."""
    table = Table("what", title="Counts", title_justify="left")
    table.add_column("rows", justify="right")
    _, rows = store.query(f"SELECT {', '.join(COUNTS)} FROM run_summary WHERE run_id = $run", {"run": run})
    for name, value in zip(COUNTS, rows[0], strict=True):
        table.add_row(name.replace("_", " "), f"{value:,}")
    return table


def print_costs(console: SafeConsole, store: Store, run: str) -> None:
    """Print the costs of language-model calls, and of a kept calibration; nothing where there were no calls."""
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
        say(console, f"{retries:,} retries, {lost:,} failed requests")
    _, each = store.query(EACH, {"run": run})
    for kept, calls, tokens, usd in each:
        if not kept:
            say(console, "no calibration was kept")
            continue
        price = f"${usd:.4f}" if usd is not None else "no price set (budget.prices)"
        say(console, f"per kept calibration ({kept:,}): {calls:.2f} calls, {tokens:,.0f} tokens, {price}")


def _short(count: int) -> str:
    """A count, short enough for a column."""
    for unit, size in ((" M", 10**6), (" k", 10**3)):
        if count >= 10 * size:
            return f"{count / size:,.0f}{unit}"
    return f"{count:,}"


def stages_table(store: Store, run: str, skipped: Collection[tuple[str, int]] = ()) -> Table:
    """What each stage came to: its time, its batches, what its rows hold, and its price where it has one. `skipped`:
    (stage, round) of those that had nothing to do."""
    table = Table("stage", "status", title="Stages", title_justify="left")
    _, rows = store.query(STAGES, {"run": run})
    priced = any(usd is not None for *_, usd in rows)
    for heading in ("batches (cached)", "seconds", "episodes", "turns", "tokens", *(["$"] if priced else ())):
        table.add_column(heading, justify="right")
    for stage, round, status, stopped, batches, cached, seconds, *held, usd in rows:
        name = f"{stage} {round}" if round > 1 else stage
        how = "not needed" if (stage, round) in skipped else f"{status}, {stopped}" if stopped else status
        time = "" if seconds is None else f"{seconds:.1f}"
        price = [] if not priced else ["" if usd is None else f"{usd:.4f}"]
        table.add_row(name, how, f"{batches} ({cached})", time, *map(_short, held), *price)
    return table
