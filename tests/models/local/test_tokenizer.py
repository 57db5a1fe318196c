"""The small policy's tokenizer: entity names are single tokens, no text is lost, conversations only grow."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from models.local.tokenizer import _any_of, train_tokenizer
from models.policy import PolicyFault
from tests.support.policy_toys import VOCABULARY, conversation, said, tokenizer


@pytest.mark.parametrize(
    "sentence", ["go to {}", "On the {}, you see a {}.", "You open the {}.\nIt is {}", "{}"]
)
def test_every_entity_name_is_one_token_in_context(sentence: str) -> None:
    words = tokenizer()
    for name in VOCABULARY:
        pieces = [p.strip() for p in (words.decode([i]) for i in words.encode(sentence.format(name, name)))]
        assert pieces.count(name) == sentence.count("{}"), pieces


def test_a_known_name_inside_a_longer_one_loses_nothing() -> None:
    words = tokenizer()
    for text in ("the shelf 31", "bookshelf 3", "shelf  3", "Shelf 3"):
        assert words.decode(words.encode(text)) == text
        assert len(words.encode(text)) > 1


def test_names_of_several_words_are_one_token_too() -> None:
    names = ["living room 2", "toilet paper hanger 1", "dining_room", "living room"]
    words = train_tokenizer(["You walk to the living room 2."], names, 1024)
    for name in names:
        assert len(words.encode(name)) == 1
        assert len(words.encode(f"go to {name}")) == len(words.encode("go to")) + 1


@settings(max_examples=300, deadline=None)
@given(
    st.sets(st.text("ab .*1", min_size=1, max_size=5), min_size=1, max_size=12),
    st.text("ab .*1", max_size=30),
)
def test_the_tree_of_letters_finds_the_longest_entry(entries: set[str], text: str) -> None:
    longest_first = "|".join(re.escape(e) for e in sorted(entries, key=lambda e: (-len(e), e)))
    for after in ("", "(?!a)"):
        plain, tree = (re.compile(f"(?:{choice}){after}") for choice in (longest_first, _any_of(entries)))
        assert tree.findall(text) == plain.findall(text)


def test_fixed_wording_between_names_is_one_token_and_other_wording_is_spelled() -> None:
    words = tokenizer()
    assert [
        words.decode([i]) for i in words.encode("Thought: I look at shelf 3.\nAction: go to shelf 3")
    ] == [
        "Thought: I look at",
        " shelf 3",
        ".\nAction: go to",
        " shelf 3",
    ]
    assert len(words.encode("Thought: why not?")) > 4


def test_without_the_vocabulary_names_are_cut_apart() -> None:
    words = train_tokenizer(["nothing of that kind is said here"], [], 1024)
    assert len(words.encode(" shelf 3")) > 1


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_decode_undoes_encode_for_any_text(text: str) -> None:
    words = tokenizer()
    assert words.decode(words.encode(text, add_special_tokens=False)) == text


def test_saved_and_reloaded_it_is_the_same(tmp_path) -> None:
    words = tokenizer()
    words.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    history = conversation(1)
    assert again.get_vocab() == words.get_vocab()
    assert again.encode("go to shelf 3é") == words.encode("go to shelf 3é")
    assert again.apply_chat_template(history, tokenize=False) == words.apply_chat_template(
        history, tokenize=False
    )
    assert (again.eos_token, again.pad_token, again.bos_token) == ("<|end|>", "<pad>", "<s>")


def test_training_is_deterministic() -> None:
    texts = [m["content"] for i in range(20) for m in conversation(i)]
    one, two = (train_tokenizer(texts, VOCABULARY, 1024) for _ in range(2))
    assert one.backend_tokenizer.to_str() == two.backend_tokenizer.to_str()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=3, max_size=9).filter(lambda texts: len(texts) % 2 == 1))
def test_a_longer_conversation_starts_with_the_tokens_of_a_shorter_one(texts: list[str]) -> None:
    words, history = tokenizer(), said(*texts)

    def ids(upto: int) -> list[int]:
        return words.apply_chat_template(history[:upto], add_generation_prompt=True, return_dict=False)

    for k in range(1, len(history) - 1, 2):
        turn = words.encode(history[k]["content"], add_special_tokens=False)
        sofar = [*ids(k), *turn, words.eos_token_id]
        assert ids(k + 2)[: len(sofar)] == sofar


def test_too_small_a_size_is_refused_with_the_remedy() -> None:
    with pytest.raises(PolicyFault, match=r"300 tokens cannot hold .*raise policy\.small\.vocabulary"):
        train_tokenizer([], VOCABULARY, 300)
