"""The lineage of a run as a Mermaid drawing: what was made from what, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from flows.artifacts.markdown import block, inline, joined, label
from flows.artifacts.page import RunSource
from flows.compare.tables import PARTS
from flows.summary.success import rates
from flows.summary.table import words

DEMONSTRATED = """
SELECT count(DISTINCT task_id), count(*), count_if(success) FROM run_trajectories
WHERE run_id = $run AND kind = 'expert'
"""
PLAYED = """
SELECT round, count(*), kind, count_if(success) FROM run_trajectories
WHERE run_id = $run AND kind IN ('explored', 'sampled') GROUP BY ALL ORDER BY round, kind
"""
SCORED = """
SELECT round, count(DISTINCT step_reward_id), (
    SELECT count(*) FROM run_rollouts r WHERE r.run_id = $run AND r.round = t.round)
FROM run_scored_turns t WHERE run_id = $run GROUP BY round
"""
VERDICTS = """
SELECT round, count(*), verdict FROM run_deviations WHERE run_id = $run GROUP BY round, verdict
ORDER BY round, list_position(['deviated', 'not_deviated', 'undecided', 'filtered'], verdict)
"""
REPAIRS = """
SELECT round, count_if(kept), count_if(NOT kept) FROM run_calibrations WHERE run_id = $run GROUP BY round
"""
EXAMPLES = """
SELECT round, count(*), dataset FROM run_training_examples WHERE run_id = $run GROUP BY ALL
UNION ALL SELECT round, count(*), 'preference_pairs' FROM run_preference_pairs WHERE run_id = $run GROUP BY ALL
ORDER BY round, dataset
"""
POLICIES = (
    "SELECT round, role, digest, parent FROM run_checkpoints WHERE run_id = $run ORDER BY round, role DESC"
)
LEGEND = (
    "D_c: calibrated trajectories. D_e: explored successes. D_s: the expert's turns where the policy failed."
)

Node = tuple[int, str]
"""A round, 0 before the rounds, and what is made in it: it names the node in the drawing."""
Texts = dict[Node, list[str]]
"""The lines of each node."""


def lineage(source: RunSource) -> str:
    """The drawing. What the run does not have is left out. Raises StorageFault."""
    texts = {node: lines for node, lines in _nodes(source) if lines}
    drawn = [f'    {_name(node)}["{label(*lines)}"]' for node, lines in texts.items()]
    arrows = [
        f"    {_name(start)} --> {_name(end)}"
        for start, end in _arrows(source)
        if {start, end} <= texts.keys()
    ]
    return joined(block("\n".join(["flowchart TD", *drawn, *arrows]), "mermaid"), inline(LEGEND))


def _name(node: Node) -> str:
    round, kind = node
    return f"{kind}{round}"


def _nodes(source: RunSource) -> Iterator[tuple[Node, list[str]]]:
    for tasks, runs, won in source.rows(DEMONSTRATED):
        if tasks:
            yield (0, "tasks"), [f"{tasks:,} tasks"]
            yield (0, "demonstrations"), ["demonstrations", f"{runs:,} runs", f"{won:,} won"]
    for round, role, digest, _ in source.rows(POLICIES):
        name = "warm-up policy" if role == "warmup" else f"trained policy{_in_round(source, round)}"
        yield (round, "policy"), [name, digest[:8]]
    yield from _counted(source, PLAYED, "played", "explored runs", "{:,} {}\n{:,} won")
    yield from _counted(source, SCORED, "rewards", "step rewards", "{:,} turns\n{:,} rollouts")
    yield from _counted(source, VERDICTS, "verdicts", "verdicts", "{:,} {}")
    yield from _counted(source, REPAIRS, "repairs", "calibrations", "{:,} kept\n{:,} rejected")
    yield from _counted(source, EXAMPLES, "examples", "training set", "{:,} {}")
    yield from _success(source)


def _counted(
    source: RunSource, sql: str, kind: str, title: str, line: str
) -> Iterator[tuple[Node, list[str]]]:
    """A node in each round of the query's first column; `line` in it for each row, from its other columns. Lines are
    short, because Mermaid wraps them after some 16 letters."""
    for round, rows in groupby(source.rows(sql), key=lambda row: row[0]):
        named = (
            [PARTS.get(cell, words(cell)) if isinstance(cell, str) else cell for cell in row[1:]]
            for row in rows
        )
        yield (
            (round, kind),
            [
                f"{title}{_in_round(source, round)}",
                *(part for cells in named for part in line.format(*cells).split("\n")),
            ],
        )


def _success(source: RunSource) -> Iterator[tuple[Node, list[str]]]:
    tested = [each for each in rates(source.store, source.run_id) if each.start == "beginning"]
    trained = sorted((each for each in tested if each.role == "trained"), key=lambda each: each.round)
    for round, each in groupby(trained, key=lambda each: each.round):
        lines = [f"{one.split} {one.rate:.3f}" for one in each]
        yield (round, "success"), [f"success{_in_round(source, round)}", *lines]


def _in_round(source: RunSource, round: int) -> str:
    return f", round {round}" if source.rounds > 1 else ""


def _arrows(source: RunSource) -> Iterator[tuple[Node, Node]]:
    """Every arrow that a run can have. Trainings start from another policy's weights, or anew."""
    demonstrations = (0, "demonstrations")
    yield (0, "tasks"), demonstrations
    yield demonstrations, (0, "policy")
    places = {digest: (round, "policy") for round, _, digest, _ in source.rows(POLICIES)}
    for round, _, _, parent in source.rows(POLICIES):
        if parent in places:
            yield places[parent], (round, "policy")
    for at in range(1, source.rounds + 1):
        played, rewards, verdicts = (at, "played"), (at, "rewards"), (at, "verdicts")
        yield from ((start, played) for start in (demonstrations, (at - 1, "policy")))
        yield from ((played, rewards), (rewards, verdicts), (verdicts, (at, "repairs")))
        for start in (demonstrations, played, verdicts, (at, "repairs")):
            yield start, (at, "examples")
        yield (at, "examples"), (at, "policy")
        yield (at, "policy"), (at, "success")
