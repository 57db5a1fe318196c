"""Separating thinking and answer in each known format."""

from __future__ import annotations

import pytest

from models.thinking import MARKS, split_thinking


@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_a_leading_block_is_thinking(opening: str, closing: str) -> None:
    assert split_thinking(f" {opening}\nlet me see\n{closing}\n\nAction: look ") == (
        "let me see",
        "Action: look",
    )


@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_the_template_may_have_written_the_opening_mark(opening: str, closing: str) -> None:
    assert split_thinking(f"let me see\n{closing}\nAction: look") == ("let me see", "Action: look")


@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_a_block_that_was_cut_off_holds_no_answer(opening: str, closing: str) -> None:
    assert split_thinking(f"{opening}I could say\nAction: look") == ("I could say\nAction: look", "")


def test_text_without_a_block_is_the_answer() -> None:
    assert split_thinking("Thought: a\nAction: look\n") == ("", "Thought: a\nAction: look")


def test_an_empty_block_is_no_thinking() -> None:
    assert split_thinking("<think>\n\n</think>\n\nAction: look") == ("", "Action: look")


def test_a_mark_that_is_opened_in_the_answer_stays_in_it() -> None:
    said = "Action: write <think>x</think>"
    assert split_thinking(said) == ("", said)
