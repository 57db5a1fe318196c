"""Of the stages that train and test: warmup, train and evaluate."""

from __future__ import annotations

from flows.artifacts.markdown import joined, table
from flows.artifacts.page import RunSource
from flows.artifacts.pictures import success_picture, training_picture
from flows.curves import trainings_of
from flows.summary.success import change_table, rates, success_table
from flows.summary.table import Table, words
from storage.records import CheckpointRecord

SETS = {
    "calibrated": "calibrated (D_c)",
    "explored_success": "explored successes (D_e)",
    "expert_suffix": "expert suffixes (D_s)",
    "sampled_success": "sampled successes",
    "expert": "expert runs",
}
"""Parts of a training set in words, with the paper's names."""
DATASETS = """
SELECT dataset, count(*), count(DISTINCT task_id), min(weight), avg(weight), max(weight) FROM run_training_examples
WHERE run_id = $run AND round = $round GROUP BY dataset ORDER BY dataset
"""
PAIRS = """
SELECT method, kind, count(*), count(DISTINCT task_id), avg(margin) FROM run_preference_pairs
WHERE run_id = $run AND round = $round GROUP BY ALL ORDER BY ALL
"""
KINDS = """
SELECT split, task_type, role, n, successes, rate, low, high FROM success_by_task_type
WHERE run_id = $run AND round = $round AND start = 'beginning' ORDER BY split, task_type, role DESC LIMIT 40
"""


def warmup(source: RunSource, round: int) -> str:
    """The training on the expert runs."""
    return _training(source, "warmup", 0)


def train(source: RunSource, round: int) -> str:
    """What was trained on, with its weights, and the training."""
    sets = tuple(
        (SETS.get(name, words(name)), f"{n:,}", f"{tasks:,}", f"{least:.3f}", f"{mean:.3f}", f"{most:.3f}")
        for name, n, tasks, least, mean, most in source.rows(DATASETS, round=round)
    )
    pairs = tuple(
        (method, kind, f"{n:,}", f"{tasks:,}", "" if margin is None else f"{margin:+.3f}")
        for method, kind, n, tasks, margin in source.rows(PAIRS, round=round)
    )
    weights = ("examples", "tasks", "least weight", "mean", "most")
    return joined(
        table(Table("Training set", ("part",), weights, sets)) if sets else "",
        table(Table("Preference pairs", ("method", "chosen by"), ("pairs", "tasks", "mean margin"), pairs))
        if pairs
        else "",
        _training(source, "trained", round),
    )


def _training(source: RunSource, role: str, round: int) -> str:
    found = [each for each in trainings_of(source.folder) if (each.role, each.round) == (role, round)]
    return joined(*(table(_figures(each)) for each in found), training_picture(found))


def _figures(training: CheckpointRecord) -> Table:
    rows = (
        ("checkpoint", training.digest),
        ("folder", training.path),
        ("trained from", training.parent or "random weights"),
        ("weights", f"{training.parameters:,}"),
        ("examples", f"{training.examples:,}"),
        ("steps of the optimizer", f"{training.steps:,}"),
        ("tokens trained on", f"{training.target_tokens:,}"),
        ("last loss", f"{training.final_loss:.4f}"),
    )
    return Table("Training", ("what", "value"), (), rows)


def evaluate(source: RunSource, round: int) -> str:
    """Success with intervals, what training changed, and success by kind of task."""
    tested = rates(source.store, source.run_id, round)
    kinds = tuple(
        (split, words(kind), role, str(n), str(won), f"{rate:.3f}", f"{low:.3f} - {high:.3f}")
        for split, kind, role, n, won, rate, low, high in source.rows(KINDS, round=round)
    )
    by_kind = Table(
        "By kind of task, from the beginning",
        ("split", "kind", "policy"),
        ("episodes", "won", "rate", "interval"),
        kinds,
    )
    return joined(
        success_picture(tested),
        table(success_table(source.store, source.run_id, round)),
        table(change_table(source.store, source.run_id, round)),
        table(by_kind) if kinds else "",
    )
