"""One ingest of a data folder, timed by part, as a line of JSON.

benchmarks/growth_of_store.py starts it with the code of this version and of a former one, so it imports only the store.

    python benchmarks/one_ingest.py DATA_DIR
"""

from __future__ import annotations

import cProfile
import json
import pstats
import resource
import sys
import time
from pathlib import Path

from storage.store import Store

PARTS = {
    "sweep": ("sweep", "_sweep"),
    "open": ("open_database",),
    "list and read manifests": ("present_batches", "_unread", "read_batches"),
    "load": ("_load_what_can_be",),
    "runs": ("refresh_runs",),
    "publish": ("_publish", "publish", "copy_back"),
}
"""By part, the functions that do it, in any version. Of functions that call each other the outer one counts."""


def main() -> None:
    store, profile = Store(Path(sys.argv[1])), cProfile.Profile()
    began = time.perf_counter()
    report = profile.runcall(store.ingest)
    seconds = time.perf_counter() - began
    taken = {
        name: cumulative
        for (_, _, name), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    }
    parts = {part: max(taken.get(name, 0.0) for name in names) for part, names in PARTS.items()}
    parts["checkpoint, the rest"] = seconds - sum(parts.values())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({"all": seconds, **parts, "batches": report.batches, "MB of memory": memory}))


if __name__ == "__main__":
    main()
