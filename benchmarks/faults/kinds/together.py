"""Several factories at once on one data folder: the same run twice and another one, and the holder of a run killed
while another process waits for it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.faults.bench import Bench, Trial
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.running import Running

OTHER = "seed=2"


def together(bench: Bench, outcome: Outcome) -> None:
    """All must end well; only where one was killed may a batch be played twice."""
    _at_once(bench, outcome)
    if not bench.short:
        _killed_holder(bench, outcome)


def _at_once(bench: Bench, outcome: Outcome) -> None:
    other = None if bench.short else bench.undisturbed(OTHER)
    with bench.trial(outcome) as trial:
        running = [trial.start(), trial.start()]
        if other:
            trial.expected += other.played
            running.append(bench.start(trial.data_dir, bench.run_command(trial.data_dir, [OTHER])))
        trial.hit(f"twice the same run at once{', and another one' if other else ''}", most=0)
        _end_well(trial, running)
        if other:
            trial.compare(other)


def _killed_holder(bench: Bench, outcome: Outcome) -> None:
    with bench.trial(outcome) as trial:
        both = [trial.start(), trial.start()]
        both[0].until(trial.begins("rewards"))
        holder = next(one for one in both if "waiting for it" not in one.said())
        holder.kill()
        trial.hit("the holder of a run is killed while another process waits for it")
        _end_well(trial, [one for one in both if one is not holder])


def _end_well(trial: Trial, running: Sequence[Running]) -> None:
    for end in [one.ended() for one in running]:
        if end.code or end.traceback:
            trial.problem(f"ended with {end.code}: {end.errors[-800:]}")
