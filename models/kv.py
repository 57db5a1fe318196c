"""Keys and values of a batch of conversations, and the cache that carries them from one turn to the next.

`KVBatch` is one tensor in which row i's token j lies in column j, whatever the rows' lengths: padding is masked
(a query at position p sees columns <= p), and stale columns are overwritten when their turn comes. A finished
row stays in the cache as a view of that tensor; the next turn, or a Monte-Carlo branch, copies its columns into
the next batch and computes only what is new.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Ids = npt.NDArray[np.int32]
BLOCK = 16


@dataclass(frozen=True, slots=True)
class KVShape:
    """What a model keeps for one token, and where."""

    layers: int
    heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        return 2 * self.layers * self.heads * self.head_dim * self.dtype.itemsize


class KVBatch:
    """Keys and values [2 * layers, rows, heads, width + 1, head_dim]. The last column takes what padding writes.

    It serves transformers as `past_key_values`: `aim` says where the next forward pass writes, `update` is what
    the attention layers call.
    """

    def __init__(self, shape: KVShape, store: torch.Tensor) -> None:
        self.shape, self.store = shape, store
        self.trash = store.shape[3] - 1

    @classmethod
    def empty(cls, shape: KVShape, rows: int, width: int, filled: int) -> KVBatch:
        """Room for `width` columns, of which the first `filled` will be written in every row before they are
        seen; the others are seen masked, so they must hold finite numbers."""
        size = (2 * shape.layers, rows, shape.heads, width + 1, shape.head_dim)
        store = torch.empty(size, dtype=shape.dtype, device=shape.device)
        store[:, :, :, filled:] = 0
        return cls(shape, store)

    def select(self, rows: torch.Tensor) -> KVBatch:
        """A new batch of some of the rows."""
        return KVBatch(self.shape, self.store.index_select(1, rows))

    def row(self, row: int, length: int) -> torch.Tensor:
        """The first `length` columns of a row, as a view [2 * layers, heads, length, head_dim]."""
        return self.store[:, row, :, :length]

    def aim(self, rows: torch.Tensor | None, columns: torch.Tensor, visible: int) -> None:
        """The next forward pass holds `rows` (None: all), writes `columns` [rows, queries], sees `visible`."""
        self._rows, self._columns, self._visible = rows, columns, visible
        every = torch.arange(len(columns), device=columns.device) if rows is None else rows
        self._index = every[:, None].expand_as(columns)

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write [rows, heads, queries, head_dim] and return what the queries may look at."""
        return self._write(2 * layer_idx, key), self._write(2 * layer_idx + 1, value)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._visible

    def _write(self, plane: int, new: torch.Tensor) -> torch.Tensor:
        kept = self.store[plane]
        kept.transpose(1, 2)[self._index, self._columns] = new.transpose(1, 2)
        seen = kept[:, :, : self._visible]
        return seen if self._rows is None else seen[self._rows]


@dataclass(eq=False, slots=True)
class Entry:
    """A conversation whose first len(ids) tokens have keys and values."""

    ids: Ids
    kv: torch.Tensor
    page: int
    keys: list[int]


class PrefixCache:
    """Finished rows by their token blocks, the least recently written batch leaving first.

    `budget` bounds the bytes of all batches that are kept alive. It should hold the conversations that are in
    play: one that has left is computed again, with the same result.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._index: dict[int, Entry] = {}
        self._pages: OrderedDict[int, tuple[int, set[Entry]]] = OrderedDict()
        self._next_page = 0

    def find(self, ids: Ids, keys: Sequence[int]) -> tuple[Entry | None, int]:
        """A kept conversation that shares a long prefix with `ids`, and how many tokens they share."""
        for key in reversed(keys):
            if entry := self._index.get(key):
                return entry, shared_prefix(entry.ids, ids)
        return None, 0

    def add(self, batch: KVBatch, rows: Sequence[tuple[int, Ids]]) -> None:
        """Keep rows of a batch, given as (row, the ids whose columns are filled)."""
        if not rows:
            return
        page, self._next_page = self._next_page, self._next_page + 1
        entries = {Entry(ids, batch.row(row, len(ids)), page, block_keys(ids)) for row, ids in rows}
        self._pages[page] = (batch.store.nbytes, entries)
        self._index.update((key, entry) for entry in entries for key in entry.keys)
        while self._pages and sum(size for size, _ in self._pages.values()) > self.budget:
            for entry in list(next(iter(self._pages.values()))[1]):
                self.drop(entry)

    def drop(self, entry: Entry) -> None:
        """Forget a conversation; its batch is freed with its last one. Dropping twice does no harm."""
        for key in entry.keys:
            if self._index.get(key) is entry:
                del self._index[key]
        _, entries = self._pages.get(entry.page, (0, set()))
        entries.discard(entry)
        if not entries:
            self._pages.pop(entry.page, None)


def block_keys(ids: Ids) -> list[int]:
    """One key for each whole block of tokens, standing for everything up to its end. A collision costs time
    only: what two conversations share is always compared token by token."""
    keys, key = [], 0
    for start in range(0, len(ids) - BLOCK + 1, BLOCK):
        key = hash((key, ids[start : start + BLOCK].tobytes()))
        keys.append(key)
    return keys


def shared_prefix(a: Ids, b: Ids) -> int:
    """Length of the longest common prefix."""
    size = min(len(a), len(b))
    differing = np.flatnonzero(a[:size] != b[:size])
    return int(differing[0]) if len(differing) else size
