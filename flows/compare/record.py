"""What a comparison leaves in the data folder: its file, rows in the store, and the picture."""

from __future__ import annotations

from pathlib import Path

from configs.comparison import Comparison
from flows.compare.picture import draw
from flows.compare.rates import differences
from flows.compare.results import Results, from_store
from flows.runs.run import run_id
from storage.comparisons import (
    ComparedRun,
    ComparisonState,
    comparison_file,
    comparison_folder,
    read_comparison,
    save_comparison,
)
from storage.files import writing_in
from storage.store import Store


def record_runs(comparison: Comparison, started: Comparison) -> None:
    """Write which run each arm and seed of `started` is. Of earlier calls, those stay that the comparison still has
    with the same settings. Where one is left out or replaced, the differences and the picture go too, until `finish`
    makes them anew. Raises StorageFault."""
    root = comparison.data_dir
    file = comparison_file(root, comparison.name)
    known = read_comparison(file) if file.exists() else None
    earlier = known.runs if known else ()
    runs = {(run.arm, run.seed): run for run in earlier if _is_current(comparison, run)}
    for arm in started.arms:
        for seed in started.seeds:
            runs[arm, seed] = _run(started, arm, seed)
    order = {arm: place for place, arm in enumerate(comparison.arms)}
    ordered = sorted(runs.values(), key=lambda run: (order[run.arm], run.seed))
    state = ComparisonState(name=comparison.name, reference=comparison.reference, runs=tuple(ordered))
    if known and known.reference == state.reference and all(run in ordered for run in known.runs):
        state = state.model_copy(update={"differences": known.differences})
    else:
        picture = picture_file(comparison)
        with writing_in(picture.parent):
            picture.unlink(missing_ok=True)
    save_comparison(root, state)


def finish(comparison: Comparison) -> Results:
    """Publish a comparison: its runs and differences as rows of the store, and its picture, over all seeds that are
    recorded, not only those of this call. Returns the results of all of them. Raises StorageFault."""
    root = comparison.data_dir
    store = Store(root)
    store.ingest()
    state = read_comparison(comparison_file(root, comparison.name))
    results = from_store(store, comparison.part(seeds=sorted({run.seed for run in state.runs})))
    found = tuple(differences(results))
    if found != state.differences:
        save_comparison(root, state.model_copy(update={"differences": found}))
        store.ingest()
    if results.episodes:
        draw(results, picture_file(comparison))
    return results


def picture_file(comparison: Comparison) -> Path:
    """Where the picture of a comparison is."""
    return comparison_folder(comparison.data_dir, comparison.name) / "success.svg"


def log_file(comparison: Comparison, seed: int) -> Path:
    """What the process of a seed prints: warnings, and the traceback of an error."""
    return comparison_folder(comparison.data_dir, comparison.name) / f"seed-{seed}.log"


def _run(comparison: Comparison, arm: str, seed: int) -> ComparedRun:
    overrides = dict(comparison.arms[arm])
    return ComparedRun(arm=arm, seed=seed, run_id=run_id(comparison.config(arm, seed)), overrides=overrides)


def _is_current(comparison: Comparison, known: ComparedRun) -> bool:
    return known.arm in comparison.arms and _run(comparison, known.arm, known.seed) == known
