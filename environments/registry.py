"""Worlds by name. Others extend it: `register("my-world", factory)` where factory(options) -> World."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from environments.base import EnvironmentFault, World

Factory = Callable[[Mapping[str, Any]], World]
_FACTORIES: dict[str, Factory] = {}


def register(name: str, factory: Factory) -> None:
    """Make a world known under `name`. A name is registered once. Raises ValueError on a second time."""
    if name in _FACTORIES:
        raise ValueError(f"world {name!r} is registered already")
    _FACTORIES[name] = factory


def names() -> list[str]:
    _load_builtin()
    return sorted(_FACTORIES)


def make_world(name: str, options: Mapping[str, Any]) -> World:
    """The world registered as `name`, built with its options. Raises EnvironmentFault for an unknown name."""
    _load_builtin()
    if name not in _FACTORIES:
        raise EnvironmentFault(f"no world is registered as {name!r}; known: {', '.join(sorted(_FACTORIES))}")
    return _FACTORIES[name](options)


def _load_builtin() -> None:
    import environments.alfworld  # noqa: F401  registers alfworld and alfworld-generated
