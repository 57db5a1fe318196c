"""How fast the views answer for one run of a big store.

    python -m benchmarks.growth_views --data-dir DIR [--repeats 3]

DIR holds a store that benchmarks/growth_of_store.py made. The run is one of 10,000 trajectories among the others.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.big_store import id_of
from storage.store import Store

OF_RUN = "WHERE run_id = '{run}'"
QUERIES = {
    "runs": "FROM runs",
    "run_summary": f"FROM run_summary {OF_RUN}",
    "stage_costs": f"FROM stage_costs {OF_RUN}",
    "run_trajectories": f"SELECT count(*), avg(outcome) FROM run_trajectories {OF_RUN}",
    "run_steps": f"SELECT count(*), avg(tokens) FROM run_steps {OF_RUN}",
    "run_rollouts": f"SELECT count(*), avg(outcome) FROM run_rollouts {OF_RUN}",
    "step_reward_gaps": f"SELECT verdict, count(*), avg(gap) FROM step_reward_gaps {OF_RUN} GROUP BY ALL",
    "compared_turns": f"SELECT side, avg(reward) FROM compared_turns {OF_RUN} GROUP BY ALL",
    "run_step_rewards": f"SELECT trajectory_kind, avg(reward) FROM run_step_rewards {OF_RUN} GROUP BY ALL",
    "scored_steps": f"SELECT trajectory_kind, avg(reward), count(next_action) FROM scored_steps {OF_RUN} GROUP BY ALL",
    "repaired_turns": f"SELECT kept, count(*) FROM repaired_turns {OF_RUN} GROUP BY ALL",
    "calibration_outcomes": f"FROM calibration_outcomes {OF_RUN}",
    "step_rewards of one turn": "FROM step_rewards WHERE step_reward_id = '{turn}'",
    "steps of one trajectory": "FROM steps WHERE trajectory_id = '{trajectory}' ORDER BY step_index",
    "lineage of one example": "FROM lineage('{example}')",
    "what_if, release": "SELECT new_verdict, count(*) FROM what_if('{run}', preset := 'release') GROUP BY ALL",
    "what_if, sequential": "SELECT new_verdict, count(*) FROM what_if('{run}', preset := 'sequential') GROUP BY ALL",
}


def measure(root: Path, repeats: int) -> Table:
    """Median wall seconds of each query, on one connection."""
    store = Store(root)
    table = Table("what", "seconds", title=f"{store.published.stat().st_size / 1e9:.1f} GB published")
    ids = {"turn": id_of("explored", 7), "trajectory": id_of("run", 7), "example": id_of("example", 9)}
    with store.opened():
        (((run,),),) = (store.query("SELECT run_id FROM run_configs ORDER BY run_id LIMIT 1")[1],)
        for what, sql in QUERIES.items():
            taken = []
            for _ in range(repeats):
                began = time.perf_counter()
                store.query(sql.format(run=run, **ids))
                taken.append(time.perf_counter() - began)
            table.add_row(what, f"{median(taken):.3f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    Console().print(measure(options.data_dir, options.repeats))


if __name__ == "__main__":
    main()
