"""Which variations of a task type belong to which split. The same for every seed.

ETO published lists, not a rule. The rule here gives splits of the same sizes, but only `unseen` is the same list:

unseen       the first ten of the simulator's test variations, or all if there are fewer: 211, exactly ETO's list
seen         ten of its development variations, or all, chosen by digest: 199. ETO drew other ones at random, and lacks
             five (of boil and of the two power-component types): 194
train        its training variations, and the development variations that are not in `seen`; at most 120 of a type,
             chosen by digest: 1,513, of which one in ten is held out for `validation`. ETO has 1,483: it lacks 30 (of
             grow-fruit, of one lifespan type and of the power-component types)

In ETO's lists 54 of the 194 variations of `seen` are in `train` too. Here no two splits share one.
"""

from __future__ import annotations

import hashlib
from functools import cache

from environments.base import EnvironmentFault
from environments.scienceworld.catalog import TASK_TYPES

SPLITS = ("train", "validation", "seen", "unseen")
EVALUATED = 10  # most variations of a type in `seen`, and in `unseen`
TRAINED = 120  # most variations of a type in `train` and `validation` together
HELD_OUT = 10  # one training variation in this many belongs to `validation`


@cache
def variations(task_type: str, split: str) -> tuple[int, ...]:
    """The variations of a task type in a split, ascending. Raises EnvironmentFault for an unknown split."""
    if split not in SPLITS:
        raise EnvironmentFault(f"scienceworld has no split {split!r}; it has {', '.join(SPLITS)}")
    sizes = TASK_TYPES[task_type]
    development = range(sizes.train, sizes.train + sizes.dev)
    if split == "unseen":
        return tuple(range(development.stop, development.stop + min(EVALUATED, sizes.test)))
    seen = sorted(development, key=lambda variation: _digest(task_type, variation))[:EVALUATED]
    if split == "seen":
        return tuple(sorted(seen))
    pool = [variation for variation in range(development.stop) if variation not in seen]
    chosen = sorted(sorted(pool, key=lambda variation: _digest(task_type, variation))[:TRAINED])
    held_out = split == "validation"
    return tuple(v for v in chosen if (_digest(task_type, v) % HELD_OUT == 0) == held_out)


def _digest(task_type: str, variation: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{task_type} {variation}".encode()).digest()[:8])
