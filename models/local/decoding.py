"""Writing one turn for each row of a batch: prefill what is new, then decode until every row has stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from models.local.kv import Ids, KVBatch
from models.policy import Sampling

Uniforms = npt.NDArray[np.float32]
# Rows whose new tokens number less than half of the longest in a prefill group go into a group of their own.
_GROUP_RATIO = 2
# Rows prefilled together: each layer makes copies of their keys and values, which should stay small.
_GROUP_ROWS = 64


@dataclass(frozen=True, slots=True)
class DecodedTurn:
    """One row's new tokens (the end token included, where it was written), and where its keys and values are."""

    tokens: list[int]
    kv: KVBatch
    row: int


def prefill(
    model: PreTrainedModel, kv: KVBatch, rows: Sequence[int], ids: Sequence[Ids], done: Sequence[int]
) -> dict[int, torch.Tensor]:
    """Feed each row's tokens ids[row][done[row]:]; returns its last logits [vocabulary]. `done` < len(ids)."""
    logits: dict[int, torch.Tensor] = {}
    for group in _groups(rows, [len(i) - d for i, d in zip(ids, done, strict=True)]):
        fed = max(len(ids[row]) - done[row] for row in group)
        tokens = np.zeros((len(group), fed), dtype=np.int64)
        positions = np.full((len(group), fed), -1)
        for line, row in enumerate(group):  # padded on the left: every row's last token is in the last column
            start = fed - len(ids[row]) + done[row]
            tokens[line, start:] = ids[row][done[row] :]
            positions[line, start:] = np.arange(done[row], len(ids[row]))
        some = None if group == list(range(kv.store.shape[1])) else torch.tensor(group)
        logits.update(zip(group, forward(model, kv, tokens, positions, some), strict=True))
    return logits


def _groups(rows: Sequence[int], new: Sequence[int]) -> list[list[int]]:
    """Rows of similar work together, so that little of a forward pass is padding."""
    groups: list[list[int]] = []
    for row in sorted(rows, key=lambda r: -new[r]):
        full = not groups or len(groups[-1]) == _GROUP_ROWS
        if full or new[groups[-1][0]] > _GROUP_RATIO * new[row]:
            groups.append([])
        groups[-1].append(row)
    return [sorted(group) for group in groups]


def forward(
    model: PreTrainedModel,
    kv: KVBatch,
    tokens: npt.NDArray[np.int64],
    positions: npt.NDArray[np.int64],
    rows: torch.Tensor | None = None,
) -> torch.Tensor:
    """Logits [rows, vocabulary] after the last column of tokens [rows, queries]; a position of -1 is padding."""
    device, visible = kv.store.device, int(positions.max()) + 1
    columns = torch.from_numpy(np.where(positions < 0, kv.trash, positions)).to(device)
    places = torch.from_numpy(positions.clip(min=0)).to(device)
    kv.aim(None if rows is None else rows.to(device), columns, visible)
    hidden = torch.arange(visible, device=device) > places[:, None, :, None]
    mask = torch.where(hidden, torch.finfo(kv.store.dtype).min, 0.0).to(kv.store.dtype)
    out = model(
        input_ids=torch.from_numpy(tokens).to(device),
        attention_mask=mask,
        position_ids=places,
        cache=kv,
        use_cache=True,
        logits_to_keep=1,
    )
    return out.logits[:, -1]


def decode(
    model: PreTrainedModel,
    kv: KVBatch,
    logits: torch.Tensor,
    lengths: Sequence[int],
    limits: Sequence[int],
    uniforms: Uniforms,
    sampling: Sampling,
    stops: frozenset[int],
) -> list[DecodedTurn]:
    """Write a turn for each row, from its last logits; `limits` bound the tokens, `uniforms` [rows, max_tokens].

    A row that has stopped idles in the padding until half of the batch has; then the others move together.
    """
    first, most, last = np.asarray(lengths), np.asarray(limits), np.asarray(list(stops))
    tokens = np.zeros((len(first), int(most.max())), dtype=np.int64)
    ends: dict[int, DecodedTurn] = {}
    rows = np.arange(len(first))  # which row each line of the batch holds
    running = np.ones(len(first), dtype=bool)  # line by line
    for step in range(1, tokens.shape[1] + 1):
        chosen = choose(logits, uniforms, step - 1, sampling, rows)
        tokens[rows, step - 1] = chosen
        over = running & ((chosen[:, None] == last).any(-1) | (most[rows] == step))
        for line in np.flatnonzero(over).tolist():
            ends[rows[line]] = DecodedTurn(tokens[rows[line], :step].tolist(), kv, line)
        running &= ~over
        left = np.flatnonzero(running)
        if not len(left):
            break
        if 2 * len(left) <= len(rows):
            kv = kv.select(torch.from_numpy(left).to(kv.store.device))
            rows, chosen, running = rows[left], chosen[left], running[left]
        position = np.where(running, first[rows] + step - 1, -1)
        logits = forward(model, kv, chosen[:, None], position[:, None])
    return [ends[row] for row in range(len(first))]


def choose(
    logits: torch.Tensor,
    uniforms: Uniforms,
    step: int,
    sampling: Sampling,
    rows: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """One token for each of the rows: the likeliest, or the one at which the row's uniform number falls on the
    cumulative distribution, so that a row draws the same whatever stands beside it."""
    if sampling.temperature == 0:
        return logits.argmax(-1).numpy(force=True)
    drawn = torch.from_numpy(uniforms[rows, step]).to(logits.device)
    return inverse_cdf(logits.float() / sampling.temperature, drawn, sampling.top_p).numpy(force=True)


def inverse_cdf(logits: torch.Tensor, drawn: torch.Tensor, top_p: float) -> torch.Tensor:
    """Tokens [rows] at the quantiles `drawn` [rows] in [0, 1) of softmax(logits), where top_p < 1 restricted to
    the smallest set of likeliest tokens that holds that much probability."""
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
