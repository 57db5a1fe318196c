"""Texts that Python's and YAML's own readers stumble over are faults of one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.faults import ConfigFault
from configs.json_text import parse_json
from configs.load import apply, read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "{", ""])
def test_json_that_cannot_be_read_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|digits|Expecting"):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "with its aliases (*name) it has more than 100,000 values"),
        ("name: &a [*a]", "with its aliases"),
        ("a: " + "[" * 2000, "nested too deeply"),
        ("seed: !!int x", "a value is not of its type"),
        ("seed: !!timestamp x", "a value is not of its type"),
        ("? [a]\n: 1", "a list or section is no name of a field"),
        ("name: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ],
)
def test_yaml_that_cannot_be_read_is_a_fault_of_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigFault) as caught:
        read_yaml(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigFault):
        apply({}, f"seed={text.partition(': ')[2]}" if text.startswith("seed") else "seed=&a [*a]")


def test_aliases_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {b: 1}\nc: [*a, *a]\n")
    assert read_yaml(path) == {"a": {"b": 1}, "c": [{"b": 1}, {"b": 1}]}
