"""Training under any chat template: what is trained on is what generation sees, then the turn and what ends it.

The templates are those of tests/support/chat_templates.py: one for each thing that templates do, and today's models'.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from models.base.template import check_template
from models.chat_templates import ChatTemplate
from models.local.rendering import HistoryEncoder
from models.policy import PolicyFault
from models.training.encoding import IGNORED, Encoded
from models.training.examples import Example
from tests.support.chat_templates import (
    KINDS,
    OWN_TEMPLATES,
    UNUSABLE_TEMPLATES,
    conversation,
    shipped,
    words_for,
)
from tests.support.policy_toys import encode, said

TEXTS_DROPPED = {"idefics3", "smolvlm", "llava_next"}
"""They take messages of parts only: a text comes out empty, or they fail."""
TEMPLATES = OWN_TEMPLATES | {name: text for name, text in shipped().items() if name not in TEXTS_DROPPED}
FAMILIES = {  # what stands between prompt and turn, what ends the turn, and how many sequences four turns take
    "qwen3": ("", "<|im_end|>", 4),
    "qwen3_5_think": ("", "<|im_end|>", 4),
    "qwen3_6": ("", "<|im_end|>", 4),
    "deepseekv3": ("\n</think>\n\n", "<｜end▁of▁sentence｜>", 4),
    "deepseek_r1_distill": ("\n</think>\n\n", "<｜end▁of▁sentence｜>", 4),
    "gptoss": ("<|channel|>final<|message|>", "<|return|>", 4),
    "phi3": ("", "<|end|>", 1),
    "phi3_5": ("", "<|end|>", 1),
    "nemotron_3_nano": ("", "<|im_end|>", 1),
    "glm4moe": ("\n", "<|user|>", 1),
    "llama3": ("", "<|eot_id|>", 1),
}


def sequences(item: Encoded) -> list[tuple[list[int], list[int]]]:
    found, start = [], 0
    for length in item["lengths"]:
        here = slice(start, start + length)
        found.append((item["input_ids"][here], item["labels"][here]))
        start += length
    assert start == len(item["input_ids"]) == len(item["labels"])
    return found


def runs(labels: list[int]) -> list[tuple[int, int]]:
    """(start, end) of each stretch of targets."""
    found, at = [], 0
    for is_target, group in groupby(labels, lambda label: label != IGNORED):
        size = len(list(group))
        if is_target:
            found.append((at, at + size))
        at += size
    return found


def seen(words: PreTrainedTokenizerFast, history: object) -> list[int]:
    """What generation feeds with thinking off, without any of our code."""
    text = words.apply_chat_template(
        history, tokenize=False, add_generation_prompt=True, enable_thinking=False, thinking=False
    )
    return words(text, add_special_tokens=False)["input_ids"]


def plain(text: str) -> str:
    """As far as every kind of tokenizer keeps it; the last end token of all may stand once more behind the own one."""
    return text.replace("▁", " ").replace("</s>", "").strip()


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_each_target_turn_follows_the_very_tokens_that_generation_feeds(
    name: str, data: st.DataObject
) -> None:
    words = words_for(TEMPLATES[name], data.draw(st.sampled_from(KINDS), "kind"))
    turns = data.draw(st.integers(1, 6), "turns")
    wanted = data.draw(st.lists(st.booleans(), min_size=turns, max_size=turns).filter(any), "targets")
    messages = conversation(turns)[: None if data.draw(st.booleans(), "observed") else -1]
    item = encode(words, Example("e", messages, wanted, 0.5), 10**6)
    usual, found = ChatTemplate(words).placeholder_turn, []
    for ids, labels in sequences(item):
        assert all(label in (IGNORED, token) for token, label in zip(ids, labels, strict=True))
        assert labels[-1] != IGNORED, "what follows the last target is left out"
        found += [(ids[:start], ids[start:end]) for start, end in runs(labels)]
    asked = [2 * i + 1 for i, target in enumerate(wanted) if target]
    assert len(found) == len(asked)
    for turn, (before, target) in zip(asked, found, strict=True):
        assert before == seen(words, messages[:turn])
        assert before == HistoryEncoder(words).encode([messages[:turn]])[0].tolist()
        written = usual.lead + messages[turn]["content"] + usual.end
        assert plain(words.decode(target)) == plain(written)


@pytest.mark.parametrize("name", TEMPLATES)
def test_with_thinking_only_the_turn_and_its_end_are_targets(name: str) -> None:
    words, messages = words_for(TEMPLATES[name]), conversation(3)
    item = encode(words, Example("e", messages, [True, False, True], thinking=True), 10**6)
    plain = encode(words, Example("e", messages, [True, False, True]), 10**6)
    assert item["input_ids"] == plain["input_ids"]
    found = [words.decode(ids[s:e]) for ids, labels in sequences(item) for s, e in runs(labels)]
    texts = [messages[turn]["content"] for turn in (1, 5)]
    assert [text[: len(start)] for text, start in zip(found, texts, strict=True)] == texts


@pytest.mark.parametrize("name", FAMILIES)
def test_what_todays_models_are_trained_to_write(name: str) -> None:
    assert name in TEMPLATES, "TRL ships it: pip install -e '.[dev]'"
    words, messages = words_for(TEMPLATES[name]), conversation(4)
    lead, end, count = FAMILIES[name]
    turn = ChatTemplate(words).turn(messages[:4])
    assert (turn.lead, turn.text, turn.end) == (lead, messages[3]["content"], end)
    assert len(encode(words, Example("e", messages, [True] * 4), 10**6)["lengths"]) == count


def as_in_0_3_0(words: PreTrainedTokenizerFast, example: Example) -> tuple[list[int], list[int]] | None:
    """One sequence: the conversation up to the last target, the targets by their places in its text."""

    def text(count: int, prompt: bool = False) -> str:
        return words.apply_chat_template(
            example.messages[:count], tokenize=False, add_generation_prompt=prompt
        )

    turns = [2 * i + 1 for i, target in enumerate(example.targets) if target]
    spans = [(text(turn, True), text(turn + 1)) for turn in turns]
    whole = text(len(example.messages))
    if not all(after.startswith(before) and whole.startswith(after) for before, after in spans):
        return None
    tokens = words(spans[-1][1], add_special_tokens=False, return_offsets_mapping=True)
    inside = [
        any(len(before) <= start and end <= len(after) for before, after in spans)
        for start, end in tokens["offset_mapping"]
    ]
    ids = tokens["input_ids"]
    return ids, [token if target else IGNORED for token, target in zip(ids, inside, strict=True)]


OTHERWISE = {"glm4moe", "qwen3_8", "ends no turn"}
"""Known to 0.3.0, but trained otherwise: it let the first two think, and the first and the last never end."""


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("targets", [[True], [True, True, True], [False, True, False, True]])
def test_what_could_be_trained_before_is_trained_with_the_same_tokens(name: str, targets: list[bool]) -> None:
    words, messages = words_for(TEMPLATES[name]), conversation(len(targets))
    example = Example("e", messages, targets)
    before, now = as_in_0_3_0(words, example), sequences(encode(words, example, 10**6))
    if name in OTHERWISE:
        assert before not in (None, *now)
    elif before is not None:
        assert now == [before]


def test_most_of_todays_templates_were_refused_or_wrong_before() -> None:
    """A negative control of the test above."""
    refused = {
        n
        for n in OWN_TEMPLATES
        if as_in_0_3_0(words_for(OWN_TEMPLATES[n]), Example("e", conversation(3), [True] * 3)) is None
    }
    assert refused == set(OWN_TEMPLATES) - {"appends", "ends no turn", "trims"}


def test_an_empty_turn_is_trained_as_an_empty_turn() -> None:
    for name in ("drops thinking", "opens a block", "writes a header"):
        words = words_for(OWN_TEMPLATES[name])
        messages = said("You see shelf 1.", "", "Nothing happens.")
        (ids, labels), *_ = sequences(encode(words, Example("e", messages, [True]), 1000))
        (start, end), *_ = runs(labels)
        usual = ChatTemplate(words).placeholder_turn
        assert words.decode(ids[start:end]) == usual.lead + usual.end


def test_no_sequence_may_be_longer_than_allowed_but_all_together_may() -> None:
    words = words_for(OWN_TEMPLATES["drops thinking"])
    example = Example("game-7", conversation(4), [True] * 4)
    longest = max(encode(words, example, 10**6)["lengths"])
    assert len(encode(words, example, longest)["input_ids"]) > longest
    with pytest.raises(
        PolicyFault, match=rf"game-7 has {longest} tokens, more than max_tokens = {longest - 1}"
    ):
        encode(words, example, longest - 1)


def test_a_turn_that_the_template_would_alter_is_refused_by_name() -> None:
    words = words_for(OWN_TEMPLATES["opens a block"])
    messages = said("You see shelf 1.", "a</think>b", "Nothing happens.")
    with pytest.raises(
        PolicyFault, match="example game-7, message 2: the chat template does not render a turn"
    ):
        encode(words, Example("game-7", messages, [True]), 1000)


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_usable_template_passes_the_check(name: str, thinking: bool, tmp_path: Path) -> None:
    words_for(TEMPLATES[name]).save_pretrained(tmp_path)
    assert check_template(tmp_path, thinking) is None


@pytest.mark.parametrize("name", [*UNUSABLE_TEMPLATES, *sorted(TEXTS_DROPPED & set(shipped()))])
def test_a_useless_template_is_reported_in_one_line(name: str, tmp_path: Path) -> None:
    words_for((UNUSABLE_TEMPLATES | shipped())[name]).save_pretrained(tmp_path)
    line = check_template(tmp_path, False)
    assert line
    assert line.startswith("policy.base")
    assert "\n" not in line
    assert str(tmp_path) in line


def test_thinking_is_switched_where_the_template_knows_a_switch() -> None:
    known = {name: ChatTemplate(words_for(OWN_TEMPLATES[name]), True).arguments for name in OWN_TEMPLATES}
    assert {name: switches for name, switches in known.items() if switches} == {
        "drops thinking": {"enable_thinking": True},
        "thinks when told": {"thinking": True},
    }
    words = words_for(OWN_TEMPLATES["thinks when told"])
    history = said("You see shelf 1.")
    assert words.decode(HistoryEncoder(words, True).encode([history])[0]).endswith("<think>\n")
    assert words.decode(HistoryEncoder(words, False).encode([history])[0]).endswith("</think>\n\n")
    assert (ChatTemplate(words, True).opened, ChatTemplate(words, False).opened) == ("<think>\n", "")


def test_the_weight_of_an_example_is_that_of_each_of_its_sequences() -> None:
    words = words_for(OWN_TEMPLATES["drops thinking"])
    example = Example("e", conversation(3), [True] * 3, 0.25)
    assert encode(words, example, 10**6)["weight"] == 0.25
    assert encode(words, replace(example, weight=2.0), 10**6)["weight"] == 2.0
