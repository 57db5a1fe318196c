"""Queries of `steca sql` and conditions of --where."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

from hypothesis import strategies as st

from cli.sql import check_query
from configs.faults import ConfigFault
from formats.faults import FormatFault
from formats.rows.where import check_condition
from storage.faults import StorageFault
from storage.shards import ShardStore
from storage.store import Store
from tests.fuzz.inputs import TEXTS, damaged
from tests.fuzz.trying import Kind
from tests.support.store_rows import one_of_each

ROOT = Path(mkdtemp(prefix="steca-fuzz-"))
ShardStore(ROOT).write_batch("explore-1", "b0", one_of_each())
STORE = Store(ROOT)
STORE.ingest()
READER = STORE.connect()
QUERIES = [
    "SELECT task_id, count(*) FROM tasks GROUP BY ALL ORDER BY 2 DESC LIMIT 3",
    "SELECT verdict, avg(gap) FROM deviations WHERE step_index < 3 GROUP BY verdict",
    "WITH q AS (FROM steps) SELECT q.text FROM q JOIN trajectories t USING (trajectory_id)",
    "FROM what_if('x', preset := 'paper')",
    "DESCRIBE runs",
]
CONDITIONS = ["weight > 1 AND n_steps < 10", "hash(example_id) % 10 < 3", "dataset IN ('D_c', 'D_e')"]
PIECES = TEXTS | st.sampled_from(
    [
        *(
            "(",
            ")",
            "'",
            '"',
            "--",
            "/*",
            ";",
            "$1",
            "?",
            "SELECT ",
            "FROM '/etc/passwd'",
            "NULL",
            "::INT",
            "*",
        ),
        *(
            "(" * 500,
            "SELECT (" * 300,
            "NOT " * 500,
            "COPY tasks TO '/tmp/x'",
            "UNION ALL ",
            "[1, 2]",
            "{'a': 1}",
        ),
        *("random()", "->", "%"),
    ]
)


def use_query(query: str) -> None:
    check_query(query)
    with STORE.opened():
        STORE.query(query)


def use_condition(condition: str) -> None:
    check_condition(READER, condition, "example_id")


SQL = (
    Kind("SQL: queries", damaged(st.sampled_from(QUERIES), PIECES), use_query, (StorageFault, ConfigFault)),
    Kind("SQL: --where", damaged(st.sampled_from(CONDITIONS), PIECES), use_condition, (FormatFault,)),
)
