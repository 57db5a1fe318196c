"""Worlds by name. Add yours with `register("my-world", factory)`, where factory(options) -> World."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from environments.base import EnvironmentFault, World

Factory = Callable[[Mapping[str, Any]], World]
BUILT_IN = {
    "alfworld": ("environments.alfworld.official.world", "RealAlfworld"),
    "alfworld-generated": ("environments.alfworld.generation.world", "GeneratedAlfworld"),
    "scienceworld": ("environments.scienceworld.world", "ScienceWorld"),
}
"""The worlds of this repository: (module, factory), imported on first use."""
_FACTORIES: dict[str, Factory] = {}


def register(name: str, factory: Factory) -> None:
    """Register a world as `name`. Raises ValueError if the name is taken."""
    if name in names():
        raise ValueError(f"world {name!r} is registered already")
    _FACTORIES[name] = factory


def names() -> list[str]:
    """The names of all worlds, sorted."""
    return sorted({*BUILT_IN, *_FACTORIES})


def make_world(name: str, options: Mapping[str, Any]) -> World:
    """The world registered as `name`, built with its options. Raises EnvironmentFault for an unknown name."""
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name]
        factory: Factory = getattr(import_module(module), attribute)
    elif name in _FACTORIES:
        factory = _FACTORIES[name]
    else:
        raise EnvironmentFault(f"no world is registered as {name!r}; known: {', '.join(names())}")
    return factory(options)
