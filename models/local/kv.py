"""Keys and values of a batch of conversations, and the cache that carries them from one turn to the next.

`KVBatch` is one tensor in which row i's token j lies in column j, whatever the rows' lengths: padding is masked
(a query at position p sees columns <= p), and stale columns are overwritten when their turn comes. A finished
row is copied into the cache; the next turn, or a Monte-Carlo branch, copies it into the next batch and computes
only what is new.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import torch

Ids = npt.NDArray[np.int32]
BLOCK = 16
# Of the kept conversations that are alike to the same block, so many are compared to the token, the latest first.
_COMPARED = 32


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


class KVPool:
    """Memory for batches, used again and again: new pages would cost a CPU more time than what is copied into them.

    It is zero at first and then holds keys and values, so what is masked in a batch is a finite number always.
    """

    def __init__(self, shape: KVShape) -> None:
        self.shape = shape
        self._free: list[torch.Tensor] = []

    def batch(self, rows: int, width: int) -> KVBatch:
        """Room for `rows` conversations of up to `width` tokens, whatever is in it now."""
        shape = self.shape
        size = (2 * shape.layers, rows, shape.heads, width + 1, shape.head_dim)
        return KVBatch(self, self._block(math.prod(size)), size)

    def _block(self, numbers: int) -> torch.Tensor:
        """The smallest free block of enough numbers, but none that would be left half empty."""
        fitting = [i for i, block in enumerate(self._free) if numbers <= block.numel() <= 2 * numbers]
        if fitting:
            return self._free.pop(min(fitting, key=lambda i: self._free[i].numel()))
        room = numbers + numbers // 4  # the next turn of these conversations is longer
        return torch.zeros(room, dtype=self.shape.dtype, device=self.shape.device)

    def give_back(self, batches: Iterable[KVBatch], most: int) -> None:
        """Nobody looks at these batches any more. What was given back last is held, up to `most` bytes."""
        self._free += [batch.block for batch in batches]
        while self._free and sum(block.nbytes for block in self._free) > most:
            self._free.pop(0)


class KVBatch:
    """Keys and values [2 * layers, rows, heads, width + 1, head_dim]. The last column takes what padding writes.

    It serves transformers as a `cache`: `aim` says where the next forward pass writes, `update` is what
    the attention layers call.
    """

    def __init__(self, pool: KVPool, block: torch.Tensor, size: tuple[int, ...]) -> None:
        self.pool, self.block = pool, block
        self.store = block[: math.prod(size)].view(size)
        self.trash = size[3] - 1

    def select(self, rows: torch.Tensor) -> KVBatch:
        """A new batch of some of the rows."""
        chosen = self.pool.batch(len(rows), self.trash)
        torch.index_select(self.store, 1, rows, out=chosen.store)
        return chosen

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
    """A conversation whose tokens have keys and values [2 * layers, heads, len(ids), head_dim], and its block keys."""

    ids: Ids
    kv: torch.Tensor
    keys: list[int]


class PrefixCache:
    """Conversations by their token blocks, the least recently written leaving first.

    `budget` bounds the bytes kept. It should hold the conversations that are in play: one that has left is computed
    again, with the same result.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.bytes = 0
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._index: dict[int, dict[Entry, None]] = {}

    def find(self, ids: Ids, keys: Sequence[int]) -> tuple[Entry | None, int]:
        """A kept conversation that shares a long prefix with `ids`, and how many tokens they share."""
        for key in reversed(keys):
            if entries := self._index.get(key):
                latest = islice(reversed(entries), _COMPARED)
                shared, entry = max(((shared_prefix(e.ids, ids), e) for e in latest), key=itemgetter(0))
                return entry, shared
        return None, 0

    def add(self, ids: Ids, keys: list[int], kv: torch.Tensor) -> None:
        """Keep a copy of a conversation's keys and values. Of equal ones (branches of one state that have not parted
        yet) one is enough."""
        name = ids.tobytes()
        if name in self._entries:
            self._entries.move_to_end(name)
            return
        entry = self._entries[name] = Entry(ids, kv.clone(memory_format=torch.contiguous_format), keys)
        self.bytes += kv.nbytes
        for key in keys:
            self._index.setdefault(key, {})[entry] = None
        while self.bytes > self.budget:
            self.drop(next(iter(self._entries.values())))

    def drop(self, entry: Entry) -> None:
        """Forget a conversation. Dropping twice does no harm."""
        if self._entries.get(name := entry.ids.tobytes()) is not entry:
            return
        del self._entries[name]
        self.bytes -= entry.kv.nbytes
        for key in entry.keys:
            del self._index[key][entry]
            if not self._index[key]:
                del self._index[key]


def block_keys(ids: Ids, known: Sequence[int] = ()) -> list[int]:
    """One key for each whole block of tokens, standing for everything up to its end; `known` are those of a prefix.
    A collision costs time only: what two conversations share is always compared token by token."""
    keys, key = list(known), known[-1] if known else 0
    whole, size = ids.tobytes(), BLOCK * ids.itemsize
    for start in range(size * len(keys), len(whole) - size + 1, size):
        key = hash((key, whole[start : start + size]))
        keys.append(key)
    return keys


def shared_prefix(a: Ids, b: Ids) -> int:
    """Length of the longest common prefix."""
    size = min(len(a), len(b))
    if size == 0:
        return 0
    equal = a[:size] == b[:size]
    first = int(equal.argmin())
    return size if equal[first] else first
