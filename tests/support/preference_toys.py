"""Toy pairs for the tests of preference training."""

from __future__ import annotations

import random
from pathlib import Path

from models.checkpoint import CheckpointRef
from models.training.examples import Example, PreferencePair
from models.training.objectives.preferences import Preferences
from steca.preferences import PreferenceLoss
from tests.support.policy_toys import VOCABULARY, conversation, said, turn, untrained

WANTED = PreferenceLoss(beta=0.1)


def pair(seed: int, turns: int = 2) -> PreferencePair:
    """After a shared history: chosen goes to the named place, rejected to another one; one or two target turns."""
    draw = random.Random(seed)
    history = conversation(seed + 100, turns - 1)
    first, second, wrong = draw.sample(VOCABULARY, 3)
    right = [*history, *said(f"Visit {first}.", turn(first), f"Visit {second}.", turn(second))]
    left = [*history, *said(f"Visit {first}.", turn(wrong))]
    before = [False] * (turns - 1)
    return PreferencePair(
        f"p{seed}", Example("good", right, [*before, True, True]), Example("bad", left, [*before, True])
    )


def pairs(count: int) -> list[PreferencePair]:
    """Pairs of unequal lengths."""
    return [pair(seed, 1 + seed % 3) for seed in range(count)]


def wrong_places(*places: str) -> list[PreferencePair]:
    """One pair a place, named by it: the rejected side goes there."""
    wanted = Example("good", said("Visit cabinet 1.", turn("cabinet 1")), [True])
    return [
        PreferencePair(place, wanted, Example("bad", said("Visit cabinet 1.", turn(place)), [True]))
        for place in places
    ]


def preferences(
    given: list[PreferencePair],
    cache: Path,
    reference: CheckpointRef | None = None,
    loss: PreferenceLoss = WANTED,
) -> Preferences:
    return Preferences(given, reference or untrained(), loss, cache)
