"""Inverse-CDF sampling by hand, histories in tokens, and the prefix cache on its own."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from models.local.decoding import inverse_cdf
from models.local.kv import Ids, KVPool, KVShape, PrefixCache, block_keys, shared_prefix
from models.local.rendering import HistoryEncoder
from models.local.tokenizer import CHAT_TEMPLATE
from tests.support.policy_toys import conversation, said, tokenizer, turn

LOGITS = torch.tensor([0.1, 0.5, 0.15, 0.25]).log()
SHAPE = KVShape(1, 1, 2, torch.float32, torch.device("cpu"))


def draw(uniforms: list[float], top_p: float = 1.0) -> list[int]:
    return inverse_cdf(LOGITS.expand(len(uniforms), -1), torch.tensor(uniforms), top_p).tolist()


def test_a_uniform_number_picks_the_token_whose_share_it_falls_into() -> None:
    assert draw([0.0, 0.09, 0.11, 0.59, 0.61, 0.74, 0.76, 0.99999994]) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_top_p_keeps_the_smallest_set_that_holds_the_probability() -> None:
    assert set(draw(np.linspace(0, 0.999, 200).tolist(), 0.5)) == {1}
    assert set(draw(np.linspace(0, 0.999, 200).tolist(), 0.7)) == {1, 3}
    assert set(draw(np.linspace(0, 0.999, 200).tolist(), 0.8)) == {1, 2, 3}
    two_thirds = np.mean([token == 1 for token in draw(np.linspace(0, 0.999, 300).tolist(), 0.7)])
    assert two_thirds == pytest.approx(2 / 3, abs=0.01)


def test_an_impossible_token_is_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    for value in (0.0, 0.5, 0.99999994):
        assert inverse_cdf(logits, torch.tensor([value]), 1.0).tolist() == [1]


def test_frequencies_are_the_probabilities() -> None:
    uniforms = np.random.default_rng(0).random(20_000).tolist()
    counts = np.bincount(draw(uniforms), minlength=4) / 20_000
    assert counts == pytest.approx([0.1, 0.5, 0.15, 0.25], abs=0.02)


TRIMMED = CHAT_TEMPLATE.replace("message['content']", "message['content'] | trim")
FORGETFUL = CHAT_TEMPLATE.replace("in messages %}", "in messages[-3:] %}")


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, TRIMMED, FORGETFUL], ids=["own", "trimmed", "forgetful"])
def test_a_growing_history_has_the_ids_of_tokenizing_it_at_once(template: str) -> None:
    words = copy.deepcopy(tokenizer())
    words.chat_template = template
    encoder, histories = HistoryEncoder(words), [conversation(i, 6) for i in range(8)]
    histories[3][2]["content"] = "odd <|end|> text <|user|> \n\n é "
    histories[4][3]["content"] = " <s><|assistant|>< <|en"
    for upto in (1, 3, 5, 5, 9, 11):
        given = [h[:upto] for h in histories]
        plain = words.apply_chat_template(given, add_generation_prompt=True, return_dict=False)
        assert [ids.tolist() for ids in encoder.encode(given)] == plain
    assert encoder.encode([]) == []


def test_a_message_is_tokenized_once_under_the_small_policys_own_template() -> None:
    words, fed = tokenizer(), list[str]()

    class Counted(HistoryEncoder):
        def _tokenized(self, texts: list[str]) -> list[Ids]:
            fed.extend(texts)
            return super()._tokenized(texts)

    encoder, history = Counted(words), [*said("Visit shelf 3.", turn("shelf 3"), "Visit drawer 1.")]
    encoder.encode([history[:1], history])
    fed.clear()
    encoder.encode([[*history, *said("", turn("drawer 1"))[1:], *said("Visit shelf 3.")]] * 2)
    assert [text for text in fed if "Visit" in text or "Thought" in text] == [
        f"<|assistant|>{turn('drawer 1')}<|end|>"
    ]


def kept(cache: PrefixCache, *conversations: list[int]) -> None:
    for ids in conversations:
        array = np.asarray(ids, dtype=np.int32)
        cache.add(array, block_keys(array), torch.zeros(2, 1, len(ids), 2))


def shared(cache: PrefixCache, ids: list[int]) -> int:
    array = np.asarray(ids, dtype=np.int32)
    return cache.find(array, block_keys(array))[1]


def test_the_longest_shared_prefix_is_found_to_the_token() -> None:
    cache = PrefixCache(2**20)
    kept(cache, list(range(40)), [*range(20), *range(100, 130)])
    assert shared(cache, list(range(64))) == 40
    assert shared(cache, [*range(33), 7, 7, 7]) == 33
    assert shared(cache, [*range(20), *range(100, 120), 5]) == 40
    assert shared(cache, [9, *range(40)]) == 0


def test_the_oldest_leave_when_the_budget_is_full() -> None:
    cache = PrefixCache(2 * 40 * SHAPE.token_bytes)
    for first in (0, 1000, 2000):
        kept(cache, list(range(first, first + 40)))
    assert [shared(cache, list(range(f, f + 40))) for f in (0, 1000, 2000)] == [0, 40, 40]


def test_of_equal_conversations_one_is_kept_and_counts_as_new() -> None:
    cache = PrefixCache(2 * 40 * SHAPE.token_bytes)
    for first in (0, 1000, 0, 2000):
        kept(cache, list(range(first, first + 40)))
    assert [shared(cache, list(range(f, f + 40))) for f in (0, 1000, 2000)] == [40, 0, 40]


def test_of_conversations_alike_to_the_block_the_longest_match_is_found() -> None:
    cache = PrefixCache(2**20)
    tails = [[7], [1, 2, 3], [1, 2, 9, 9]]
    kept(cache, *([*range(40, 56), *tail] for tail in tails))
    assert shared(cache, [*range(40, 56), 1, 2, 3, 4]) == 19
    assert shared(cache, [*range(40, 56), 7, 7]) == 17


def test_memory_is_used_again_for_batches_of_about_its_size() -> None:
    pool = KVPool(SHAPE)
    first = pool.batch(4, 64)
    first.store.fill_(1.0)
    pool.release([first], first.block.nbytes)
    assert pool.batch(1, 8).block is not first.block
    again = pool.batch(4, 70)
    assert again.block is first.block
    assert pool.batch(4, 70).block is not first.block
    pool.release([again], again.block.nbytes - 1)
    assert pool.batch(4, 64).block is not first.block


def test_a_dropped_conversation_is_gone_and_its_neighbours_stay() -> None:
    cache = PrefixCache(2**20)
    kept(cache, list(range(40)), list(range(50, 90)))
    ids = np.arange(40, dtype=np.int32)
    entry, _ = cache.find(ids, block_keys(ids))
    assert entry is not None
    cache.drop(entry)
    cache.drop(entry)
    assert shared(cache, list(range(40))) == 0
    assert shared(cache, list(range(50, 90))) == 40


def test_prefixes_are_compared_token_by_token() -> None:
    a, b = np.array([1, 2, 3], dtype=np.int32), np.array([1, 2, 4, 5], dtype=np.int32)
    assert (shared_prefix(a, b), shared_prefix(a, a), shared_prefix(b[:2], b)) == (2, 3, 2)
