"""A world is found by its name, by an entry point, or as module:attribute; what is wrong with it is one line."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from configs.environment import EnvironmentConfig
from environments import registry
from environments.base import EnvironmentFault
from environments.registry import make_world, names, open_world
from environments.template.world import World
from tests.support.own_worlds import in_folder_with_a_world


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with in_folder_with_a_world(tmp_path, "parcel", monkeypatch):
        yield


@pytest.mark.parametrize("name", ["parcel:World", "parcel.py:World"])
def test_a_class_in_the_current_folder_is_a_world(name: str) -> None:
    world = open_world(EnvironmentConfig(name=name))
    assert world.name == name
    [task] = world.tasks("train", 1, 0)
    assert (task.world, task.split) == (name, "train")
    assert world.begin(task)[0].startswith("You are in the ")


def test_an_installed_package_may_name_worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("house", "environments.template.world:World", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.GROUP else [])
    assert names() == sorted([*registry.BUILT_IN, "house"])
    assert isinstance(make_world("house", {}), World)


def test_a_world_is_made_without_options_where_it_needs_none() -> None:
    body = "    def tasks(self, split, count, seed): ...\n    def environment(self): ...\n"
    Path("made_parcel.py").write_text(
        f"class World:\n    def __init__(self, size=6): self.size = size\n{body}"
        f"class Needing:\n    def __init__(self, size, colour): ...\n{body}"
    )
    made: Any = make_world("made_parcel:World", {})
    assert made.size == 6
    made = make_world("made_parcel:World", {"size": 3})
    assert made.size == {"size": 3}, "options are one mapping"
    with pytest.raises(
        EnvironmentFault, match=r"needs 2 arguments, and is made with one, environment\.options"
    ):
        make_world("made_parcel:Needing", {})


def test_options_go_to_worlds_that_take_them() -> None:
    Path("sized.py").write_text(
        "class World(list):\n    def __init__(self, options): self.options = options\n"
        "    def tasks(self, split, count, seed): ...\n    def environment(self): ...\n"
    )
    made: Any = make_world("sized:World", {"rooms": 3})
    assert made.options == {"rooms": 3}
    with pytest.raises(
        EnvironmentFault, match=r"world parcel:World takes no options, and the config.* rooms"
    ):
        make_world("parcel:World", {"rooms": 3})


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "house",
            "no world is called 'house'; known: alfworld, alfworld-generated, .*; or give module:Class",
        ),
        ("nowhere:World", "there is no module 'nowhere' in the current folder"),
        ("nowhere.py:World", "there is no file"),
        ("parcel:Word", r"parcel \(.*parcel.py\) has no Word"),
        ("parcel:ROOMS", "ROOMS is a list, and not a class or function"),
        ("parcel:House", "House has no method tasks"),
        ("broken:World", r"importing broken raised SyntaxError"),
        ("needy:World", "it needs the package no_such_package: install it"),
        ("raising:World", r"raised ValueError: not today \(raising.py, line 2\): mend the world"),
    ],
)
def test_what_is_no_world_is_told_in_one_line(name: str, problem: str) -> None:
    Path("broken.py").write_text("class World(:\n")
    Path("needy.py").write_text("import no_such_package\n")
    Path("raising.py").write_text("class World:\n    def __init__(self): raise ValueError('not today')\n")
    with pytest.raises(EnvironmentFault, match=problem) as fault:
        make_world(name, {})
    assert "\n" not in str(fault.value)
