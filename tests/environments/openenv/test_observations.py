"""What the agent is shown, and the score."""

from __future__ import annotations

from typing import Any

import pytest

from environments.base import EnvironmentFault
from environments.openenv.observations import Score, shown_fields, text_of, text_of_call
from environments.openenv.options import read_options

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
URL = {"url": "http://x"}


@pytest.mark.parametrize(
    ("fields", "named", "shown"),
    [
        ({"echo": TEXT, "length": NUMBER, "done": {}, "reward": {}, "metadata": {}}, (), ("echo",)),
        ({"stdout": TEXT, "stderr": TEXT}, (), ()),
        ({"cells": {"type": "array"}}, (), ()),
        ({"stdout": TEXT, "stderr": TEXT}, ("stderr",), ("stderr",)),
    ],
)
def test_the_only_text_is_shown_unless_fields_are_named(fields: Any, named: Any, shown: Any) -> None:
    assert shown_fields({"properties": fields}, named) == shown


def test_a_field_that_is_not_there_is_told() -> None:
    with pytest.raises(EnvironmentFault, match="have no field 'out'; they have stdout"):
        shown_fields({"properties": {"stdout": TEXT, "done": {}}}, ("out",))


@pytest.mark.parametrize(
    ("observation", "shown", "text"),
    [
        ({"echo": "hi", "length": 2, "metadata": {"id": 7}}, ("echo",), "hi"),
        ({"echo": None, "length": 2}, ("echo",), ""),
        ({"board": [1, 2]}, ("board",), "[1, 2]"),
        ({"a": "ä", "b": 2, "metadata": {}}, (), '{"a": "ä", "b": 2}'),
        ({"a": 1, "b": 2, "c": 3}, ("c", "a"), '{"c": 3, "a": 1}'),
        ({"ready": True, "metadata": {}}, ("echo",), "true"),
        ({"metadata": {"message": "ready"}}, (), "ready"),
        ({}, (), ""),
    ],
)
def test_one_field_is_text_and_several_are_json(observation: Any, shown: Any, text: str) -> None:
    assert text_of(observation, shown) == text


@pytest.mark.parametrize(
    ("observation", "told"),
    [
        ({"result": "7"}, ("7", True)),
        ({"result": {"content": [{"type": "text", "text": "7"}], "is_error": False}}, ("7", True)),
        ({"result": {"content": [{"text": "no"}], "is_error": True}}, ("no", False)),
        ({"result": {"content": [], "data": [1]}}, ("[1]", True)),
        ({"result": None, "error": {"error_type": "timeout", "message": "too slow"}}, ("too slow", False)),
    ],
)
def test_what_a_tool_answers(observation: Any, told: tuple[str, bool]) -> None:
    assert text_of_call(observation) == told


@pytest.mark.parametrize(
    ("options", "rewards", "scores"),
    [
        ({}, [None, 0.2, None, 1], [0.0, 0.2, 0.2, 1.0]),
        ({"reward": "sum"}, [0.1, 0.2, None, 0.7], [0.1, 0.3, 0.3, 1.0]),
        ({"reward": "sum"}, [0.1] * 10, [n / 10 for n in range(1, 11)]),
        ({"range": [-1, 1]}, [None, -1, 0.5, 3], [0.5, 0.0, 0.75, 1.0]),
        ({"range": [0, 100], "reward": "sum"}, [-5, 55, 60], [0.0, 0.5, 1.0]),
        ({}, [True, False], [1.0, 0.0]),
    ],
)
def test_rewards_become_the_score_so_far(options: Any, rewards: list[Any], scores: list[float]) -> None:
    score = Score(read_options({**URL, **options}))
    assert [score.after(reward) for reward in rewards] == pytest.approx(scores)


def test_a_last_reward_is_kept_to_the_last_bit() -> None:
    assert Score(read_options(URL)).after(0.1 + 0.2) == 0.1 + 0.2


@pytest.mark.parametrize("reward", [-0.1, 1.5, 100])
def test_a_reward_beyond_the_unit_needs_a_range(reward: float) -> None:
    with pytest.raises(EnvironmentFault, match=r"reward \(last\) is .*: set environment.options.range"):
        Score(read_options(URL)).after(reward)
