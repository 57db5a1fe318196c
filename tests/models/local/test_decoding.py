"""The engine's logits, to rounding: rows of all lengths fed in pieces, beside idle rows, are plain forward passes."""

from __future__ import annotations

import numpy as np
import torch

from models.checkpoint import load
from models.local.decoding import forward, prefill
from models.local.kv import KVPool, KVShape
from tests.support.policy_toys import tokenizer, untrained

LENGTHS = [40, 7, 23, 24, 2, 31]


def sequences() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(6, len(tokenizer()), size).astype(np.int32) for size in LENGTHS]


def plain(model, ids: np.ndarray) -> torch.Tensor:
    return model(torch.from_numpy(ids.astype(np.int64))[None]).logits[0, -1]


@torch.inference_mode()
def test_pieces_of_different_lengths_give_the_logits_of_a_whole_pass() -> None:
    model, ids, rows = load(untrained())[0], sequences(), range(len(LENGTHS))
    shape = KVShape(2, 2, 16, torch.float32, torch.device("cpu"))
    kv = KVPool(shape).batch(len(ids), 48)
    first = [1, 6, 20, 3, 1, 9]
    logits = prefill(model, kv, rows, [i[:f] for i, f in zip(ids, first, strict=True)], [0] * len(ids))
    for row in rows:
        assert torch.allclose(logits[row], plain(model, ids[row][: first[row]]), atol=1e-5)
    idle = np.array([-1, -1, 20, 3, -1, 9])[:, None]  # three rows write a token, three wait
    tokens = np.array([[int(i[min(f, len(i) - 1)])] for i, f in zip(ids, first, strict=True)])
    stepped = forward(model, kv, tokens, idle)
    for row in (2, 3, 5):
        assert torch.allclose(stepped[row], plain(model, ids[row][: first[row] + 1]), atol=1e-5)
    done = [f + (row in (2, 3, 5)) for row, f in enumerate(first)]
    later = prefill(
        model,
        kv.select(torch.tensor([5, 0, 1, 2, 3])),
        range(5),
        [ids[r] for r in (5, 0, 1, 2, 3)],
        [done[r] for r in (5, 0, 1, 2, 3)],
    )
    for line, row in enumerate((5, 0, 1, 2, 3)):
        assert torch.allclose(later[line], plain(model, ids[row]), atol=1e-5)


@torch.inference_mode()
def test_the_comparison_would_notice_one_changed_token() -> None:
    model, ids = load(untrained())[0], sequences()[0]
    changed = ids.copy()
    changed[0] += 1
    assert not torch.allclose(plain(model, ids), plain(model, changed), atol=1e-5)
