"""The call log of calls: priced, noted before anything else happens, never made twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from configs.servers import PriceConfig
from models.client.calls import Call, Reply
from tasks.call_log import BatchCallLog, CurrentCallLog, SharedCallLog, logged_in, price

PRICES = {"gpt-4o": PriceConfig(input=2.5, output=10.0, cached_input=1.25)}
REPLY = Reply("Thought: so\nAction: look", 50, "stop")


def call(model: str = "gpt-4o", started: str = "2026-11-25T00:00:00+00:00", ok: bool = True) -> Call:
    return Call(
        "reflection", model, "gpt-4o-2024", "h:1", started, 1.0, 1.0, 0, (), 1000, 200, 50, "stop", ok
    )


def open_log(root: Path) -> BatchCallLog:
    return BatchCallLog(root, PRICES, "b0")


@pytest.mark.parametrize(
    ("prices", "usd"),
    [
        (PriceConfig(input=2.5, output=10.0, cached_input=1.25), (800 * 2.5 + 200 * 1.25 + 50 * 10) / 1e6),
        (PriceConfig(input=2.5, output=10.0), (1000 * 2.5 + 50 * 10) / 1e6),
        (PriceConfig(input=0, output=0), 0.0),
        (None, None),
    ],
)
def test_the_price_counts_cached_input_apart(prices: PriceConfig | None, usd: float | None) -> None:
    assert price(call(), prices) == (usd if usd is None else pytest.approx(usd))


def test_what_was_kept_is_found_and_is_a_row(tmp_path: Path) -> None:
    call_log = open_log(tmp_path)
    assert call_log.find("k") is None
    call_log.keep("k", REPLY, call())
    assert call_log.find("k") == REPLY
    (row,) = call_log.rows()
    assert (row.request_id, row.usd, row.prompt_tokens) == ("k", pytest.approx(0.00275), 1000)


def test_a_batch_that_died_goes_on_with_what_it_had(tmp_path: Path) -> None:
    before = open_log(tmp_path)
    before.keep("k", REPLY, call())
    before.failed("f", call(ok=False))
    again = open_log(tmp_path)
    assert again.find("k") == REPLY
    assert again.find("f") is None
    assert again.rows() == before.rows()
    assert len(again.rows()) == 2
    again.end()
    assert open_log(tmp_path).rows() == []


def test_replies_of_a_batch_are_forgotten_with_it_and_lasting_ones_are_not(tmp_path: Path) -> None:
    call_log = open_log(tmp_path)
    shared = SharedCallLog(tmp_path)
    with logged_in(call_log):
        CurrentCallLog().keep("once", REPLY, call())
        shared.keep("always", REPLY, call())
    rows = {row.request_id: row for row in call_log.rows()}
    call_log.end()
    other = BatchCallLog(tmp_path, {}, "b1")
    with logged_in(other):
        assert CurrentCallLog().find("once") is None
        assert shared.find("once") is None
        assert shared.find("always") == REPLY
    assert other.rows() == [
        rows["always"]
    ]  # the same row, at the price that was paid: counted once in the table


def test_thinking_and_refusal_are_kept_beside_the_text(tmp_path: Path) -> None:
    replies = [
        Reply("Action: look\n", 50, "stop", "hm"),
        Reply("", 50, "stop", refusal="No."),
        Reply("", 50, "length", "hm"),
    ]
    shared = SharedCallLog(tmp_path)
    with logged_in(open_log(tmp_path)):
        for number, reply in enumerate(replies):
            shared.keep(f"k{number}", reply, replace(call(), finish=reply.finish))
    again = open_log(tmp_path)
    assert [again.find(f"k{number}") for number in range(3)] == replies
    with logged_in(again):
        assert [shared.find(f"k{number}") for number in range(3)] == replies


def test_thinking_that_an_earlier_version_left_in_the_text_is_told_apart(tmp_path: Path) -> None:
    call_log = open_log(tmp_path)
    call_log.keep("k", Reply("<think>Action: inventory</think>\nAction: look", 50, "stop"), call())
    assert open_log(tmp_path).find("k") == Reply("Action: look", 50, "stop", "Action: inventory")


def test_two_equal_calls_at_different_times_are_two_rows(tmp_path: Path) -> None:
    call_log = open_log(tmp_path)
    call_log.keep("k", REPLY, call())
    call_log.keep("k", REPLY, call(started="2026-11-25T00:00:01+00:00"))
    assert len(call_log.rows()) == 2


def test_batches_beside_each_other_have_calls_of_their_own(tmp_path: Path) -> None:
    """One model serves both; each request belongs to the batch whose thread makes it."""
    logs = [BatchCallLog(tmp_path, PRICES, f"b{number}") for number in range(2)]
    both_inside = Barrier(2)

    def batch(number: int) -> None:
        with logged_in(logs[number]):
            both_inside.wait(10)
            CurrentCallLog().keep(f"k{number}", REPLY, call())
            assert CurrentCallLog().find(f"k{1 - number}") is None

    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(batch, number) for number in range(2)]:
            future.result()
    assert [[row.request_id for row in log.rows()] for log in logs] == [["k0"], ["k1"]]
