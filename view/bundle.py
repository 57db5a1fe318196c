"""A run as one HTML file that opens without a server: the same pages, with what they would ask the server for inside.

The answers lie in chunks of compressed JSON, and a page unpacks only the chunk that it needs.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from flows.faults import StageFault
from storage.files import writing_atomic
from view.assets import file_page
from view.published import Published, Row
from view.queries import bench, listing, rollouts, run, runs, trajectory

Progress = Callable[[int, int], None]
Answers = dict[str, object]
"""What the server would say, by the path that is asked for."""
TOGETHER = 64  # trajectories a chunk
MOST_TELLING = """
WITH compared AS (
    SELECT d.*, coalesce(c.trajectory_id, d.explored_trajectory_id) AS repaired FROM run_deviations d
    LEFT JOIN run_calibrations c ON c.run_id = d.run_id AND c.round = d.round AND c.deviation_id = d.deviation_id
    WHERE d.run_id = $run
), named AS (
    SELECT unnest([explored_trajectory_id, expert_trajectory_id, repaired]) AS trajectory_id,
        CASE verdict WHEN 'deviated' THEN 1 WHEN 'filtered' THEN 3 ELSE 2 END AS place, gap, deviation_id
    FROM compared
    UNION ALL BY NAME SELECT trajectory_id, 4 AS place FROM run_trajectories WHERE run_id = $run
)
SELECT trajectory_id FROM named GROUP BY ALL
ORDER BY min(place), min(gap) NULLS LAST, min(deviation_id) NULLS LAST, trajectory_id LIMIT $most
"""
FILTERED_BY = """
WITH said AS (
    SELECT trajectory_id, string_agg(text || chr(0) || observation, chr(0) ORDER BY step_index) AS words
    FROM steps WHERE list_contains($ids, trajectory_id) GROUP BY ALL
), played AS (
    SELECT trajectory_id, list_sort(list(DISTINCT round)) AS rounds FROM run_trajectories
    WHERE run_id = $run AND list_contains($ids, trajectory_id) GROUP BY ALL
), trained AS (
    SELECT trajectory_id, list(DISTINCT dataset) AS sets FROM run_training_examples WHERE run_id = $run GROUP BY ALL
)
SELECT t.trajectory_id, any_value(p.rounds) AS rounds,
    coalesce(any_value(e.sets), []) AS sets,
    lower(concat_ws(chr(0), any_value(k.instruction), any_value(t.first_observation), any_value(s.words))) AS words
FROM trajectories t JOIN tasks k USING (task_id) JOIN played p USING (trajectory_id)
LEFT JOIN said s USING (trajectory_id) LEFT JOIN trained e USING (trajectory_id) GROUP BY ALL
"""
"""What a file's own filters ask for, beyond the columns of the list: rounds, training sets, and all that SEARCH
(view/queries/listing.py) looks through, with a character between the texts that no phrase has."""


def write_report(published: Published, run_id: str, out: Path) -> None:
    """The page of a run and its threshold bench as one file. Raises StorageFault."""
    with writing_atomic(out) as file:
        file.write(run_report(published, run_id))


def run_report(published: Published, run_id: str) -> bytes:
    """The page of a run and its threshold bench as HTML. Raises StorageFault."""
    file = io.BytesIO()
    _write(file, run_id, _name(published, run_id), iter([_overview(published, run_id)]))
    return file.getvalue()


def write_bundle(
    published: Published, run_id: str, out: Path, most: int, progress: Progress
) -> tuple[int, int]:
    """All pages of a run as one file, with at most `most` trajectories: first those of deviated turns, with the
    expert's run and the repair of each, then those of other comparisons, then the rest. Returns (trajectories in the
    file, in the run). Raises StorageFault."""
    ids = [row["trajectory_id"] for row in published.rows(MOST_TELLING, run=run_id, most=most)]
    total = listing.listed(published, run_id, listing.Filter(), size=1)["total"]
    with writing_atomic(out) as file:
        _write(file, run_id, _name(published, run_id), _chunks(published, run_id, ids, total, progress))
    return len(ids), total


def _chunks(
    published: Published, run_id: str, ids: Sequence[str], total: int, progress: Progress
) -> Iterator[Answers]:
    yield _overview(published, run_id)
    yield {
        f"/runs/{run_id}/facets": listing.facets(published, run_id),
        f"/runs/{run_id}/list": _list(published, run_id, ids),
        f"/runs/{run_id}/held": {"held": len(ids), "total": total},
    }
    left = iter(ids)
    done = 0
    while part := list(islice(left, TOGETHER)):
        found = trajectory.trajectories(published, run_id, part)
        yield {f"/runs/{run_id}/trajectories/{each['trajectory_id']}": each for each in found}
        scored = {value["step_reward_id"] for each in found for value in each["values"] if value["n"]}
        yield _rollouts(published, sorted(scored))
        done += len(part)
        progress(done, len(ids))


def _name(published: Published, run_id: str) -> str:
    return str(published.rows("SELECT name FROM runs WHERE run_id = $run", run=run_id)[0]["name"])


def _overview(published: Published, run_id: str) -> Answers:
    listed = [row for row in runs.runs(published) if row["run_id"] == run_id]
    answers: Answers = {"/runs": listed, f"/runs/{run_id}": run.run_page(published, run_id)}
    path = f"/runs/{run_id}/bench"
    try:
        answers[path] = own = bench.bench(published, run_id)
    except StageFault:  # a run without comparisons: its page says so
        return answers
    for each in own["presets"]:
        answers[f"{path}?preset={each['preset']}"] = bench.bench(published, run_id, each["preset"])
    return answers


def _list(published: Published, run_id: str, ids: Sequence[str]) -> list[Row]:
    rows = listing.rows_of(published, run_id, ids)
    more = {row["trajectory_id"]: row for row in published.rows(FILTERED_BY, run=run_id, ids=list(ids))}
    return [{**row, **more[row["trajectory_id"]]} for row in rows]


def _rollouts(published: Published, step_rewards: Sequence[str]) -> Answers:
    found: dict[str, list[Row]] = {id: [] for id in step_rewards}
    for row in rollouts.rollouts(published, *step_rewards):
        found[row.pop("step_reward_id")].append(row)
    return {f"/rollouts/{id}": rows for id, rows in found.items()}


def _write(file: IO[bytes], run_id: str, name: str, chunks: Iterator[Answers]) -> None:
    """Chunk by chunk, so that memory does not grow with the run. The index comes last, when it is known. `name`: that
    of the run, by which addresses may call it too."""
    before, after = file_page("<!--CHUNKS-->").split("<!--CHUNKS-->")
    index: dict[str, int] = {}
    file.write(before.encode())
    for number, answers in enumerate(chunks):
        index |= dict.fromkeys(answers, number)
        _write_chunk(file, number, answers)
    text = json.dumps(index).replace("<", "\\u003c")
    start, called = (json.dumps(each).replace("<", "\\u003c") for each in (run_id, name))
    file.write(
        f"<script>Object.assign(STECA, {{index: {text}, run: {start}, name: {called}}})</script>".encode()
    )
    file.write(after.encode())


def _write_chunk(file: IO[bytes], number: int, answers: Answers) -> None:
    """Compressed and in base64, so nothing that a model wrote can end the element that holds it."""
    packed = gzip.compress(json.dumps(answers, ensure_ascii=True).encode(), 6, mtime=0)
    file.write(f'<script type="application/gzip" id="chunk-{number}">'.encode())
    file.write(base64.b64encode(packed))
    file.write(b"</script>\n")
