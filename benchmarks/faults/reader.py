"""A reader at 10 Hz: counts views of a published store until its standard input ends, then prints what it met as JSON.

    python -m benchmarks.faults.reader DATA_DIR

It opens the store as the project does, anew for each read. Before the first publication it waits.
"""

from __future__ import annotations

import json
import select
import sys
from itertools import cycle
from pathlib import Path

VIEWS = (
    "trajectories",
    "step_reward_gaps",
    "rollouts",
    "success_by_task_type",
    "calibration_outcomes",
    "run_stages",
)
PERIOD = 0.1


def main() -> None:
    from storage.faults import StorageFault
    from storage.store import Store

    store, reads, faults = Store(Path(sys.argv[1])), 0, []
    for view in cycle(VIEWS):
        ended = select.select([0], [], [], PERIOD)[0]
        if store.published.exists():
            reads += 1
            try:
                store.query(f"SELECT count(*) FROM {view}")
            except StorageFault as fault:
                faults.append(str(fault))
        if ended:
            break
    print(json.dumps({"reads": reads, "failed": len(faults), "first": faults[:1]}))


if __name__ == "__main__":
    main()
