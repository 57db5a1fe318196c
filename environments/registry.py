"""Worlds by name: those of this repository, those of installed packages (entry points of the group `steca.worlds`), and
`module:attribute` or `file.py:attribute`, found from the current folder. So every process finds a world by its name.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from configs.environment import EnvironmentConfig
from environments.base import EnvironmentFault, World
from environments.complete import CompleteWorld
from environments.states.calling import WORLD_METHODS, called, refuse_without, where

GROUP = "steca.worlds"
BUILT_IN = {
    "alfworld": "environments.alfworld.official.world:RealAlfworld",
    "alfworld-generated": "environments.alfworld.generation.world:GeneratedAlfworld",
    "textcraft": "environments.textcraft.world:Textcraft",
    "scienceworld": "environments.scienceworld.world:ScienceWorld",
    "openenv": "environments.openenv.world:OpenEnv",
    "virtualhome": "environments.virtualhome.world:Virtualhome",
}
"""The worlds of this repository, imported on first use."""


def names() -> list[str]:
    """The names of all worlds that need no path, sorted."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))})


def open_world(config: EnvironmentConfig) -> CompleteWorld:
    """The configured world. Raises EnvironmentFault for one that cannot be found or made."""
    return CompleteWorld(make_world(config.name, config.options), config)


def make_world(name: str, options: Mapping[str, Any]) -> World:
    """The world with this name, as its author wrote it. Raises EnvironmentFault."""
    factory = _factory(name)
    most, least = _arguments(factory)
    if options and not most:
        raise EnvironmentFault(
            f"world {name} takes no options, and the configuration gives {', '.join(options)}"
        )
    if least > 1:
        raise EnvironmentFault(
            f"world {name} needs {least} arguments, and is made with one, environment.options, or with none: give the "
            "others defaults"
        )
    given = [dict(options)] if options or least else []
    made = called(f"world {name}({', '.join(map(repr, given))})", factory, *given)
    refuse_without(made, f"world {name}", WORLD_METHODS)
    return made


def _factory(name: str) -> Callable[..., Any]:
    path = BUILT_IN.get(name) or (name if ":" in name else _entry_point(name))
    module, colon, attribute = path.rpartition(":")
    if not colon or not module or not attribute:
        raise EnvironmentFault(
            f"no world is called {name!r}; known: {', '.join(names())}; or give module:Class, e.g. maze:World for "
            "maze.py in the current folder"
        )
    found: Any = _module(name, module)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise EnvironmentFault(f"world {name}: {module}{_place(found)} has no {part}")
        found = getattr(found, part)
    if not callable(found):
        raise EnvironmentFault(
            f"world {name}: {attribute} is a {type(found).__name__}, and not a class or function"
        )
    return found


def _place(module: Any) -> str:
    """Where a module is: another one of the same name may have been found."""
    file = getattr(module, "__file__", None)
    return f" ({file})" if file else ""


def _entry_point(name: str) -> str:
    """What an installed package has under this name; the name itself if none has it."""
    return next((point.value for point in entry_points(group=GROUP) if point.name == name), name)


def _module(name: str, module: str) -> Any:
    """An imported module, or one from a file. The current folder is searched too, as `python` does."""
    try:
        if module.endswith(".py"):
            return _from_file(Path(module))
        if (here := os.getcwd()) not in sys.path:
            sys.path.append(here)
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise EnvironmentFault(f"world {name}: it needs the package {error.name}: install it") from error
        raise EnvironmentFault(
            f"world {name}: there is no module {error.name!r} in the current folder ({os.getcwd()}) or among the "
            "installed packages: start from the folder that has it, set PYTHONPATH, or install it"
        ) from None
    except EnvironmentFault:
        raise
    except Exception as error:
        raise EnvironmentFault(f"world {name}: importing {module} raised {where(error)}") from error


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise EnvironmentFault(f"there is no file {path.absolute()}")
    own = f"steca_world_{path.stem}"
    if own in sys.modules and sys.modules[own].__file__ == str(path.absolute()):
        return sys.modules[own]
    spec = importlib.util.spec_from_file_location(own, path.absolute())
    assert spec, "a .py file has a loader"
    assert spec.loader, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[own] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[own]
        raise
    return module


def _arguments(factory: Callable[..., Any]) -> tuple[int, int]:
    """The most positional arguments (1 stands for more), and the fewest."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return 0, 0
    named = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    any_number = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return int(bool(named) or any_number), sum(p.default is p.empty for p in named)
