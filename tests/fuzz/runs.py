"""Files of recorded runs, as imports and `environment.demonstrations` read them."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from environments.base import EnvironmentFault
from environments.recorded.recording import read_recordings
from steca.action_formats import FORMATS
from tests.fuzz.inputs import TEXTS, changed, damaged, damaged_bytes, encoded, values
from tests.fuzz.trying import Kind
from tests.support.imported_runs import TASKS, imported, openai, played, sharegpt

FOLDER = Path(mkdtemp(prefix="steca-fuzz-"))
NAMES = (
    "id conversations messages steps from value role content type source tool_calls observation "
    "results prompt session message gpt assistant agent user human completion text function "
    "arguments loss weight extra step_id chosen tool_call_id name command metadata task_id "
)
WORDS = (
    st.sampled_from([*NAMES.split(), "Thought: a\nAction: b", "<think>a</think><action>b</action>"]) | TEXTS
)


def atif(task: Any) -> dict[str, Any]:
    """As ATIF has it."""
    first, turns = played(task)
    steps: list[dict[str, Any]] = [{"step_id": 1, "source": "user", "message": first}]
    for number, (thought, action, observation) in enumerate(turns, 2):
        results = {"results": [{"content": observation}]}
        steps.append(
            {"step_id": number, "source": "agent", "message": f"Thought: {thought}\nAction: {action}"}
        )
        steps[-1]["observation"] = results
    return {"schema_version": "ATIF-v1.5", "session_id": task.task_id, "steps": steps}


def session(task: Any) -> list[Any]:
    """As the lines of a session of HF traces."""
    talk = openai(task)["messages"]
    return [{"type": "session", "id": task.task_id}, *({"type": "message", "message": said} for said in talk)]


ROWS = [make(task) for task in TASKS[:2] for make in (sharegpt, openai, atif)]
ROW = changed(st.sampled_from(ROWS), WORDS)
LINES = (
    ROW.map(json.dumps)
    | damaged(st.sampled_from(ROWS).map(json.dumps), WORDS)
    | values(WORDS).map(json.dumps)
)
SESSION = changed(st.just(session(TASKS[0])), WORDS).map(
    lambda rows: "\n".join(map(json.dumps, rows)) if isinstance(rows, list) else json.dumps(rows)
)
JSONL = st.lists(LINES | SESSION, min_size=1, max_size=2).map(lambda lines: encoded("\n".join(lines)))
ARRAY = st.lists(LINES, max_size=2).map(lambda lines: encoded("[" + ",\n".join(lines) + "]"))


def parquet(rows: list[Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


WHOLE = [b"\n".join(json.dumps(row).encode() for row in ROWS[:2])]
WHOLE += [gzip.compress(WHOLE[0]), parquet([sharegpt(TASKS[0])]), parquet([openai(TASKS[0])])]


def use_import(data: bytes) -> None:
    file, out = FOLDER / "in", FOLDER / "runs.jsonl"
    out.unlink(missing_ok=True)
    file.write_bytes(data)
    imported(file, out)


def use_recordings(data: bytes) -> None:
    file = FOLDER / "recorded"
    file.write_bytes(data)
    read_recordings(file, FORMATS["react"])


RUNS = (
    Kind("imports: JSONL", JSONL | ARRAY, use_import, (EnvironmentFault,)),
    Kind("imports: bytes", damaged_bytes(st.sampled_from(WHOLE)), use_import, (EnvironmentFault,)),
    Kind(
        "recorded worlds", JSONL | damaged_bytes(st.sampled_from(WHOLE)), use_recordings, (EnvironmentFault,)
    ),
)
