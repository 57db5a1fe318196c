"""A policy that runs any Hugging Face causal LM with a chat template, with a prefix cache across turns.

Requests are processed in batches, the longest first. A prefix shared with an earlier turn, or with another request
(Monte-Carlo branches of one state), is copied, not recomputed; see models/local/kv.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.chat_templates import ChatTemplate
from models.checkpoint import CheckpointRef, load
from models.context_length import context_length
from models.local.decoding import DecodedTurn, Uniforms, decode, prefill
from models.local.device import available_memory, pick_device
from models.local.hf_internals import kv_sizes
from models.local.kv import (
    BLOCK,
    CachedPrefix,
    Ids,
    KVBatch,
    KVPool,
    KVShape,
    PrefixCache,
    block_keys,
    shared_prefix,
)
from models.local.rendering import HistoryEncoder
from models.local.small_llama import fast_forward
from models.local.turns import TurnReader
from models.policy import Generation, History, PolicyFault, Sampling, check_seeds, describe_error
from steca.vocabulary import Device


@dataclass(slots=True)
class _Request:
    """One history in progress: `computed` of its tokens come from `source` (an earlier turn) or `leader` (a row of the
    same batch)."""

    index: int
    ids: Ids
    limit: int
    keys: list[int] = field(default_factory=list)
    source: CachedPrefix | None = None
    leader: int | None = None
    computed: int = 0


class TransformersPolicy:
    """See models.policy.Policy. Not thread-safe. Temperature 0 is the argmax; otherwise each request draws one uniform
    number per token from its own seed, so results do not depend on the batch (up to float rounding, which can only
    decide between tokens of practically equal probability).

    A history that fills the context gives an empty turn with finish "length".
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        digest: str,
        batch: int = 256,
        cache_bytes: int | None = None,
    ) -> None:
        """`batch`: rows per batch; `cache_bytes` should hold the keys and values of all running episodes (None:
        `usual_cache_bytes`). Raises PolicyFault for a model that this engine cannot run."""
        if tokenizer.chat_template is None:
            raise PolicyFault(f"checkpoint {digest[:16]} has no chat template: save one with its tokenizer")
        self.model, self.tokenizer = fast_forward(model.eval()), tokenizer
        self.context = context_length(model.config, f"checkpoint {digest[:16]}")
        self._digest, self._batch = digest, batch
        shape = _kv_shape(model)
        self._pool = KVPool(shape)
        self._encoders = {on: HistoryEncoder(tokenizer, on) for on in (False, True)}
        self._readers = {on: TurnReader(tokenizer, e.template) for on, e in self._encoders.items()}
        self._stops = _stop_tokens(model, tokenizer) | _template_stop_tokens(tokenizer)
        usual = usual_cache_bytes(shape, self.context) if cache_bytes is None else cache_bytes
        self._cache = PrefixCache(usual)

    @classmethod
    def from_checkpoint(
        cls, ref: CheckpointRef, device: Device = "auto", batch: int = 256, cache_bytes: int | None = None
    ) -> TransformersPolicy:
        """Verify, load and serve a checkpoint. Raises PolicyFault."""
        model, tokenizer = load(ref, pick_device(device))
        return cls(model, tokenizer, ref.digest, batch, cache_bytes)

    @property
    def digest(self) -> str:
        return self._digest

    def act(self, histories: Sequence[History], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        check_seeds(histories, seeds)
        results = [Generation("", 0, "length")] * len(histories)
        requests = [r for r in self._requests(histories, sampling) if r.limit > 0]
        requests.sort(key=lambda r: (-len(r.ids), r.ids.tobytes()))
        for batch in self._batches(requests):
            drawn = _uniforms([seeds[r.index] for r in batch], sampling)
            try:
                turns = self._run(batch, drawn, sampling)
            except torch.OutOfMemoryError as error:
                raise PolicyFault(self._too_large(batch, error)) from error
            for request, written in zip(batch, turns, strict=True):
                stopped = written.tokens[-1] in self._stops
                results[request.index] = self._readers[sampling.thinking].read(written.tokens, stopped)
        return results

    def _too_large(self, batch: list[_Request], error: Exception) -> str:
        return (
            f"checkpoint {self._digest[:16]}: the GPU has no room for {len(batch)} turns after histories of up to "
            f"{len(batch[0].ids)} tokens ({describe_error(error)}): end what else uses this GPU, run fewer jobs at "
            "once, or choose engine openai"
        )

    def _requests(self, histories: Sequence[History], sampling: Sampling) -> list[_Request]:
        encoded = self._encoders[sampling.thinking].encode(histories)
        return [
            _Request(i, ids, min(sampling.max_tokens, self.context - len(ids)))
            for i, ids in enumerate(encoded)
        ]

    def _batches(self, requests: list[_Request]) -> Iterator[list[_Request]]:
        """Batches of up to `batch` rows, fewer if their keys and values would take half of the cache."""
        start = 0
        while start < len(requests):
            first = requests[start]
            fitting = self._cache.budget // (
                2 * self._pool.shape.token_bytes * (len(first.ids) + first.limit)
            )
            stop = start + max(1, min(self._batch, fitting))
            yield requests[start:stop]
            start = stop

    @torch.inference_mode()
    def _run(self, batch: list[_Request], drawn: Uniforms, sampling: Sampling) -> list[DecodedTurn]:
        self._assign_prefixes(batch)
        kv = self._pool.batch(len(batch), max(len(r.ids) + r.limit for r in batch))
        for row, request in enumerate(batch):
            if request.source is not None:
                kv.row(row, request.computed).copy_(request.source.kv[:, :, : request.computed])
        logits = self._prefill(batch, kv)
        lengths, limits = [len(r.ids) for r in batch], [r.limit for r in batch]
        written = decode(self.model, kv, logits, lengths, limits, drawn, sampling, self._stops)
        self._cache_turns(batch, written, turns=not sampling.thinking)
        return written

    def _assign_prefixes(self, batch: list[_Request]) -> None:
        """Choose the prefix that each request starts from: an earlier turn, or a longer request of this batch."""
        leaders: dict[int, int] = {}
        for row, request in enumerate(batch):
            request.keys = block_keys(request.ids)
            entry, kept = self._cache.find(request.ids, request.keys)
            most = len(request.ids) - 1  # the last token is always fed: its logits give the first new one
            leader = next((leaders[key] for key in reversed(request.keys) if key in leaders), None)
            shared = shared_prefix(batch[leader].ids, request.ids) if leader is not None else 0
            if min(shared, most) >= kept + BLOCK:
                request.leader, request.computed = leader, min(shared, most)
                continue
            request.source, request.computed = entry, min(kept, most)
            for key in request.keys:
                leaders.setdefault(key, row)

    def _prefill(self, batch: list[_Request], kv: KVBatch) -> torch.Tensor:
        ids, computed = [r.ids for r in batch], [r.computed for r in batch]
        leaders = [row for row, r in enumerate(batch) if r.leader is None]
        followers = [row for row, r in enumerate(batch) if r.leader is not None]
        logits = prefill(self.model, kv, leaders, ids, computed)
        for row in followers:
            kv.row(row, computed[row]).copy_(kv.row(batch[row].leader or 0, computed[row]))
        logits |= prefill(self.model, kv, followers, ids, computed)
        return torch.stack([logits[row] for row in range(len(batch))])

    def _cache_turns(self, batch: list[_Request], written: list[DecodedTurn], turns: bool) -> None:
        """Cache what was computed (the last token's keys and values do not exist yet), and evict earlier turns that are
        now part of longer ones. `turns`: cache the new turns too; turns with thinking never appear in a history."""
        for request, end in zip(batch, written, strict=True):
            if request.source is not None and request.computed == len(request.source.ids):
                self._cache.drop(request.source)
            new = end.tokens[:-1] if turns else []
            ids = np.concatenate([request.ids, np.asarray(new, dtype=np.int32)])
            self._cache.add(ids, block_keys(ids, request.keys), end.kv.row(end.row, len(ids)))
        batches = {id(end.kv): end.kv for end in written}
        self._pool.release(batches.values(), self._cache.budget - self._cache.bytes)


def usual_cache_bytes(shape: KVShape, context: int) -> int:
    """Bytes for the keys and values of earlier turns.

    On a CPU, room for 512 episodes of 512 tokens, at most 1 GiB. On a GPU a quarter of the memory that the model
    leaves, at most room for 512 episodes that fill the context (`context`: in tokens): batches take up to 1.75 times as
    much besides, and the activations need some.
    """
    if shape.device.type == "cpu":
        return min(2**30, 512 * 512 * shape.token_bytes)
    return min(available_memory(shape.device) // 4, 512 * context * shape.token_bytes)


def _uniforms(seeds: Sequence[int], sampling: Sampling) -> Uniforms:
    """Uniform numbers [requests, max_tokens], row i from seed i alone; none for greedy sampling."""
    if sampling.temperature == 0:
        return np.zeros((len(seeds), 0), dtype=np.float32)
    return np.stack([np.random.default_rng(s).random(sampling.max_tokens, dtype=np.float32) for s in seeds])


def _kv_shape(model: PreTrainedModel) -> KVShape:
    layers, heads, head_dim = kv_sizes(model.config)
    return KVShape(layers, heads, head_dim, model.dtype, model.device)


def _stop_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    ends = model.generation_config.eos_token_id if model.generation_config else None
    known = ends if isinstance(ends, list) else [ends]
    return frozenset(i for i in [*known, tokenizer.eos_token_id] if i is not None)


def _template_stop_tokens(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The token that ends a turn in the chat template, which model and tokenizer may not name."""
    end = tokenizer(ChatTemplate(tokenizer).placeholder_turn.end, add_special_tokens=False)["input_ids"]
    return frozenset(end[-1:])
