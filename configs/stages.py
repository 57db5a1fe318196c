"""The stages of a run, in the order in which they run."""

from __future__ import annotations

STAGES = ("demonstrate", "warmup", "explore", "rewards", "calibrate", "train", "evaluate")
BEFORE_ROUNDS = ("demonstrate", "warmup")
"""Stages that run once, before the first round."""


def round_of(stage: str, round: int) -> int:
    """The round that a stage is filed under: 0 for those before the rounds."""
    return 0 if stage in BEFORE_ROUNDS else round


def schedule(rounds: int) -> list[tuple[str, int]]:
    """Every stage of a whole run with its round, in the order in which they run."""
    in_rounds = STAGES[len(BEFORE_ROUNDS) :]
    return [(stage, 1) for stage in BEFORE_ROUNDS] + [
        (stage, round) for round in range(1, rounds + 1) for stage in in_rounds
    ]
