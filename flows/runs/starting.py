"""Where work starts in a run: with its first stage, or with a later one whose upstream is there."""

from __future__ import annotations

from collections.abc import Sequence

from configs.schema import FactoryConfig
from configs.stages import STAGES, round_of, schedule
from flows.faults import StageFault
from flows.runs.from_cache import missing_stage, run_from_cache
from flows.runs.run import folder_of
from flows.wording import counted
from storage.runs import RunFolder


def stages_from(stage: str | None, round: int, rounds: int) -> list[tuple[str, int]]:
    """The stages of a whole run, or those from one on, with their rounds. Raises StageFault where there is no such."""
    whole = schedule(rounds)
    if stage is None:
        return whole
    if stage not in STAGES:
        raise StageFault(f"there is no stage {stage}: give one of {', '.join(STAGES)}")
    first = (stage, max(1, round_of(stage, round)))
    if first not in whole:
        raise StageFault(f"the run has {counted(rounds, 'round')}, so it cannot start from round {round}")
    return whole[whole.index(first) :]


def missing_before(config: FactoryConfig, first: tuple[str, int]) -> tuple[str, int] | None:
    """The earliest stage before `first` that is neither complete nor in the cache; None if there is none. Records from
    the cache what the run does not have yet, for example because another run made it."""
    whole = schedule(config.rounds)
    before = whole[: whole.index(first)]
    folder = folder_of(config)
    states = [folder.stage(round_of(stage, round), stage) for stage, round in before]
    if all(state is not None and state.status == "completed" for state in states):
        return None
    missing = missing_stage(config, before)
    if missing is None:
        run_from_cache(config, stages=before)
    return missing


def require_before(config: FactoryConfig, first: tuple[str, int]) -> None:
    """Raises StageFault where an earlier stage is missing."""
    missing = missing_before(config, first)
    if missing:
        name, round = missing
        of_round = f" of round {round}" if round_of(name, round) > 1 else ""
        raise StageFault(
            f"the run cannot start from {first[0]}: stage {name}{of_round} comes before it, and is not complete; start "
            f"from {name}, or from the beginning"
        )


def all_cached(folder: RunFolder, stages: Sequence[tuple[str, int]]) -> bool:
    """Whether all batches of some stages came from the cache when they were last run."""
    states = [folder.stage(round_of(stage, round), stage) for stage, round in stages]
    return all(state is not None and state.cached_batches == len(state.batches) for state in states)
