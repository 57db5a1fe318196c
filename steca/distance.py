"""Deviation distance (method section 2.7): normalised dynamic time warping over two sequences of actions.

    D(i, j) = d(x_i, y_j) + min(D(i-1, j), D(i, j-1), D(i-1, j-1))        nDTW = D(n, m) / sqrt(n^2 + m^2)

With an element distance d in [0, 1], nDTW lies in [0, 1): some alignment has max(n, m) pairs, and that is
less than sqrt(n^2 + m^2). Warping absorbs repetition, so nDTW is 0 exactly where both sequences are the same
after consecutive actions at distance 0 are merged. Cost: n * m calls of d.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

ElementDistance = Callable[[str, str], float]
"""d(x_i, y_j) of two actions, in [0, 1]. Called for every pair: a slow one should cache its results."""


@lru_cache(maxsize=1 << 16)
def _trigrams(action: str) -> tuple[dict[str, int], float]:
    """Counts of the character trigrams of one action, and their Euclidean norm (0 for an empty action)."""
    padded = f" {' '.join(action.lower().split())} "
    counts = Counter(padded[i : i + 3] for i in range(len(padded) - 2))
    return dict(counts), math.sqrt(sum(count * count for count in counts.values()))


@lru_cache(maxsize=1 << 18)
def lexical_distance(a: str, b: str) -> float:
    """1 - cosine of character-trigram counts, in [0, 1]; case and extra spaces are ignored.

    "put mug 1 in/on shelf 2" is near "put mug 1 in/on shelf 3", and far from "go to fridge 1". Equal actions
    have distance 0; an empty action (an unparsable turn) has distance 1 from every other.
    """
    (counts_a, norm_a), (counts_b, norm_b) = _trigrams(a), _trigrams(b)
    if counts_a == counts_b:
        return 0.0
    if not norm_a or not norm_b:
        return 1.0
    dot = sum(counts_a[gram] * counts_b[gram] for gram in counts_a.keys() & counts_b.keys())
    return min(1.0, max(0.0, 1.0 - dot / (norm_a * norm_b)))


def ndtw(
    target: Sequence[str], contrast: Sequence[str], element: ElementDistance = lexical_distance
) -> float:
    """nDTW(target, contrast) of two action sequences. Raises ValueError if either is empty."""
    for side, actions in (("target", target), ("contrast", contrast)):
        if not actions:
            raise ValueError(
                f"nDTW: the {side} sequence is empty, so no distance is defined; leave the pair out"
            )
    previous = [0.0] + [math.inf] * len(contrast)
    for x in target:
        row = [math.inf]
        for j, y in enumerate(contrast, start=1):
            row.append(element(x, y) + min(previous[j], row[j - 1], previous[j - 1]))
        previous = row
    return previous[-1] / math.hypot(len(target), len(contrast))
