"""Generates one turn for each row of a batch: prefill the new tokens, then decode until every row has stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.local.hf_internals import forward_with_cache
from models.local.kv import Ids, KVBatch
from models.policy import Sampling

Uniforms = npt.NDArray[np.float32]
# A row with less than half the new tokens of the longest in a prefill group starts a new group.
_GROUP_RATIO = 2
# Rows prefilled together: each layer copies their keys and values, which should stay small.
_GROUP_ROWS = 64


@dataclass(frozen=True, slots=True)
class DecodedTurn:
    """One row's new tokens (with the end token, if generated), and where its keys and values are."""

    tokens: list[int]
    kv: KVBatch
    row: int


def prefill(
    model: torch.nn.Module, kv: KVBatch, rows: Sequence[int], ids: Sequence[Ids], computed: Sequence[int]
) -> dict[int, torch.Tensor]:
    """Feed each row's tokens ids[row][computed[row]:]; returns its last logits [vocabulary]. `computed` < len(ids)."""
    logits: dict[int, torch.Tensor] = {}
    for group in _groups(rows, [len(i) - d for i, d in zip(ids, computed, strict=True)]):
        fed = max(len(ids[row]) - computed[row] for row in group)
        tokens = np.zeros((len(group), fed), dtype=np.int64)
        positions = np.full((len(group), fed), -1)
        for line, row in enumerate(group):  # padded on the left: every row's last token is in the last column
            start = fed - len(ids[row]) + computed[row]
            tokens[line, start:] = ids[row][computed[row] :]
            positions[line, start:] = np.arange(computed[row], len(ids[row]))
        some = None if group == list(range(kv.store.shape[1])) else torch.tensor(group)
        logits.update(zip(group, forward(model, kv, tokens, positions, some), strict=True))
    return logits


def _groups(rows: Sequence[int], new: Sequence[int]) -> list[list[int]]:
    """Groups rows with similar numbers of new tokens, so that little of a forward pass is padding."""
    groups: list[list[int]] = []
    for row in sorted(rows, key=lambda r: -new[r]):
        full = not groups or len(groups[-1]) == _GROUP_ROWS
        if full or new[groups[-1][0]] > _GROUP_RATIO * new[row]:
            groups.append([])
        groups[-1].append(row)
    return [sorted(group) for group in groups]


def forward(
    model: torch.nn.Module,
    kv: KVBatch,
    tokens: npt.NDArray[np.int64],
    positions: npt.NDArray[np.int64],
    rows: torch.Tensor | None = None,
) -> torch.Tensor:
    """Logits [rows, vocabulary] after the last column of tokens [rows, queries]; a position of -1 is padding."""
    device, visible = kv.store.device, int(positions.max()) + 1
    columns = torch.from_numpy(np.where(positions < 0, kv.padding_column, positions)).to(device)
    places = torch.from_numpy(positions.clip(min=0)).to(device)
    kv.set_target(None if rows is None else rows.to(device), columns, visible)
    hidden = torch.arange(visible, device=device) > places[:, None, :, None]
    mask = torch.where(hidden, torch.finfo(kv.store.dtype).min, 0.0).to(kv.store.dtype)
    return forward_with_cache(model, torch.from_numpy(tokens).to(device), mask, places, kv)


def decode(
    model: torch.nn.Module,
    kv: KVBatch,
    logits: torch.Tensor,
    lengths: Sequence[int],
    limits: Sequence[int],
    uniforms: Uniforms,
    sampling: Sampling,
    stops: frozenset[int],
) -> list[DecodedTurn]:
    """Generate a turn for each row from its last logits; `limits` bound the tokens, `uniforms` [rows, max_tokens].

    A stopped row is padding until half of the batch has stopped; then the batch is compacted.
    """
    first, most, last = np.asarray(lengths), np.asarray(limits), np.asarray(list(stops))
    tokens = np.zeros((len(first), int(most.max())), dtype=np.int64)
    turns: dict[int, DecodedTurn] = {}
    rows = np.arange(len(first))  # which row each line of the batch holds
    running = np.ones(len(first), dtype=bool)  # line by line
    for step in range(1, tokens.shape[1] + 1):
        chosen = sample_tokens(logits, uniforms, step - 1, sampling, rows)
        tokens[rows, step - 1] = chosen
        stopped = running & ((chosen[:, None] == last).any(-1) | (most[rows] == step))
        for line in np.flatnonzero(stopped).tolist():
            turns[rows[line]] = DecodedTurn(tokens[rows[line], :step].tolist(), kv, line)
        running &= ~stopped
        left = np.flatnonzero(running)
        if not len(left):
            break
        if 2 * len(left) <= len(rows):
            kv = kv.select(torch.from_numpy(left).to(kv.store.device))
            rows, chosen, running = rows[left], chosen[left], running[left]
        position = np.where(running, first[rows] + step - 1, -1)
        logits = forward(model, kv, chosen[:, None], position[:, None])
    return [turns[row] for row in range(len(first))]


def sample_tokens(
    logits: torch.Tensor,
    uniforms: Uniforms,
    step: int,
    sampling: Sampling,
    rows: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """One token for each row: the likeliest, or by inverse-CDF sampling with the row's uniform number, so that a row's
    tokens do not depend on the rest of the batch."""
    if sampling.temperature == 0:
        return logits.argmax(-1).numpy(force=True)
    drawn = torch.from_numpy(uniforms[rows, step]).to(logits.device)
    return inverse_cdf(logits.float() / sampling.temperature, drawn, sampling.top_p).numpy(force=True)


def inverse_cdf(logits: torch.Tensor, drawn: torch.Tensor, top_p: float) -> torch.Tensor:
    """Tokens [rows] at the quantiles `drawn` [rows] in [0, 1) of softmax(logits). top_p < 1 restricts them to the
    smallest set of likeliest tokens with that much probability."""
    probabilities = logits.softmax(-1)
    if top_p >= 1:
        return _quantile(probabilities, drawn)
    ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    kept = ordered.masked_fill(before >= top_p, 0.0)
    return tokens.gather(-1, _quantile(kept, drawn)[:, None])[:, 0]


def _quantile(weights: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    cumulative = weights.cumsum(-1)
    index = torch.searchsorted(cumulative, drawn[:, None] * cumulative[:, -1:], right=True)
    return index[:, 0].clamp(max=weights.shape[-1] - 1)
