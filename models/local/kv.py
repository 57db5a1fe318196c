"""Keys and values of a batch of conversations, and the prefix cache that keeps them from one turn to the next.

`KVBatch` is one tensor in which row i's token j is in column j, whatever the rows' lengths: padding is masked (a query
at position p sees columns <= p), and stale columns are overwritten later. A finished row is copied into the cache; the
next turn or a Monte-Carlo branch copies it into the next batch and computes only its new tokens.
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
# Of the cached conversations with the same block key, so many are compared token by token, the latest first.
_MAX_COMPARED = 32


@dataclass(frozen=True, slots=True)
class KVShape:
    """The size, dtype and device of a model's keys and values."""

    layers: int
    heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        return 2 * self.layers * self.heads * self.head_dim * self.dtype.itemsize


class KVPool:
    """Reused memory for batches: on a CPU allocating new pages costs more time than copying into them.

    Blocks start as zeros and later hold keys and values, so masked columns always hold finite numbers.
    """

    def __init__(self, shape: KVShape) -> None:
        self.shape = shape
        self._free: list[torch.Tensor] = []

    def batch(self, rows: int, width: int) -> KVBatch:
        """A batch for `rows` conversations of up to `width` tokens, with arbitrary content."""
        shape = self.shape
        size = (2 * shape.layers, rows, shape.heads, width + 1, shape.head_dim)
        return KVBatch(self, self._block(math.prod(size)), size)

    def _block(self, numbers: int) -> torch.Tensor:
        """The smallest free block that fits, if at least half of it is used; else a new one."""
        fitting = [i for i, block in enumerate(self._free) if numbers <= block.numel() <= 2 * numbers]
        if fitting:
            return self._free.pop(min(fitting, key=lambda i: self._free[i].numel()))
        room = numbers + numbers // 4  # the next turn of these conversations is longer
        return torch.zeros(room, dtype=self.shape.dtype, device=self.shape.device)

    def release(self, batches: Iterable[KVBatch], max_bytes: int) -> None:
        """Return batches that are no longer used. The latest are kept for reuse, up to `max_bytes`."""
        self._free += [batch.block for batch in batches]
        while self._free and sum(block.nbytes for block in self._free) > max_bytes:
            self._free.pop(0)


class KVBatch:
    """Keys and values [2 * layers, rows, heads, width + 1, head_dim]. The last column is where padding writes.

    transformers uses it as `cache` (models/local/hf_internals.py): `set_target` says where the next forward pass
    writes, and the attention layers call `update`.
    """

    def __init__(self, pool: KVPool, block: torch.Tensor, size: tuple[int, ...]) -> None:
        self.pool, self.block = pool, block
        self.store = block[: math.prod(size)].view(size)
        self.padding_column = size[3] - 1

    def select(self, rows: torch.Tensor) -> KVBatch:
        """A new batch of some of the rows."""
        chosen = self.pool.batch(len(rows), self.padding_column)
        torch.index_select(self.store, 1, rows, out=chosen.store)
        return chosen

    def row(self, row: int, length: int) -> torch.Tensor:
        """The first `length` columns of a row, as a view [2 * layers, heads, length, head_dim]."""
        return self.store[:, row, :, :length]

    def set_target(self, rows: torch.Tensor | None, columns: torch.Tensor, visible: int) -> None:
        """The next forward pass has `rows` (None: all), writes `columns` [rows, queries] and sees the first
        `visible`."""
        self._rows, self._columns, self._visible = rows, columns, visible
        every = torch.arange(len(columns), device=columns.device) if rows is None else rows
        self._index = every[:, None].expand_as(columns)

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write [rows, heads, queries, head_dim] and return all that the queries may attend to."""
        return self._write(2 * layer_idx, key), self._write(2 * layer_idx + 1, value)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._visible

    def _write(self, plane: int, new: torch.Tensor) -> torch.Tensor:
        kept = self.store[plane]
        kept.transpose(1, 2)[self._index, self._columns] = new.transpose(1, 2)
        seen = kept[:, :, : self._visible]
        return seen if self._rows is None else seen[self._rows]


@dataclass(eq=False, slots=True)
class CachedPrefix:
    """A conversation's tokens, their keys and values [2 * layers, heads, len(ids), head_dim], and its block keys."""

    ids: Ids
    kv: torch.Tensor
    keys: list[int]


class PrefixCache:
    """Cached conversations by their token blocks; the least recently written is evicted first.

    `budget` limits the bytes. It should hold all running conversations: an evicted one is recomputed, with the same
    result.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.bytes = 0
        self._entries: OrderedDict[bytes, CachedPrefix] = OrderedDict()
        self._index: dict[int, dict[CachedPrefix, None]] = {}

    def find(self, ids: Ids, keys: Sequence[int]) -> tuple[CachedPrefix | None, int]:
        """A cached conversation that shares a long prefix with `ids`, and how many tokens they share."""
        for key in reversed(keys):
            if entries := self._index.get(key):
                latest = islice(reversed(entries), _MAX_COMPARED)
                shared, entry = max(((shared_prefix(e.ids, ids), e) for e in latest), key=itemgetter(0))
                return entry, shared
        return None, 0

    def add(self, ids: Ids, keys: list[int], kv: torch.Tensor) -> None:
        """Cache a copy of a conversation's keys and values. Equal conversations (branches that have not diverged yet)
        are stored once."""
        name = ids.tobytes()
        if name in self._entries:
            self._entries.move_to_end(name)
            return
        entry = self._entries[name] = CachedPrefix(ids, kv.clone(memory_format=torch.contiguous_format), keys)
        self.bytes += kv.nbytes
        for key in keys:
            self._index.setdefault(key, {})[entry] = None
        while self.bytes > self.budget:
            self.drop(next(iter(self._entries.values())))

    def drop(self, entry: CachedPrefix) -> None:
        """Evict a conversation. Dropping it twice does no harm."""
        if self._entries.get(name := entry.ids.tobytes()) is not entry:
            return
        del self._entries[name]
        self.bytes -= entry.kv.nbytes
        for key in entry.keys:
            del self._index[key][entry]
            if not self._index[key]:
                del self._index[key]


def block_keys(ids: Ids, known: Sequence[int] = ()) -> list[int]:
    """One key for each whole block of tokens, a hash of everything up to its end; `known` are those of a prefix. A
    collision only costs time: shared prefixes are always compared token by token."""
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
