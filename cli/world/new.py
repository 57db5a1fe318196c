"""`steca world new`: a copy of the template, with its configuration."""

from __future__ import annotations

import keyword
from importlib.util import find_spec
from pathlib import Path

from cli.terminal.console import console, say
from environments.base import EnvironmentFault

TEMPLATE = Path(__file__).parents[2] / "environments" / "template"


def write_world(name: str, folder: Path) -> None:
    """Write NAME.py and NAME.yaml, and say what to do next. Raises EnvironmentFault rather than replace a file."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise EnvironmentFault(f"{name!r} cannot be the name of a Python module: use letters, digits and _")
    files = {
        folder / f"{name}.py": (TEMPLATE / "world.py").read_text(),
        folder / f"{name}.yaml": (TEMPLATE / "world.yaml").read_text().replace("NAME", name),
    }
    for path in files:
        if path.exists():
            raise EnvironmentFault(f"{path} exists already: choose another name, or another folder (--dir)")
    if taken := _module_named(name, folder):
        raise EnvironmentFault(
            f"{name} is the name of another module ({taken}), which Python would import instead: choose another name"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        path.write_text(content)
    start = "" if folder == Path() else f"  cd {folder}\n"
    say(
        console(),
        f"wrote {' and '.join(map(str, files))}. Next:\n"
        f"{start}  steca world check {name}:World\n  steca run --config {name}.yaml",
    )


def _module_named(name: str, folder: Path) -> str | None:
    """Where Python already has a module of this name: its file, or "built-in". Files in the folder itself and in the
    current one are no obstacle, nor are folders without `__init__.py`: they come after a file."""
    try:
        spec = find_spec(name)
    except ValueError:  # a running program, e.g. __main__
        return name
    if spec is None or spec.origin is None:
        return None
    own = {(place / f"{name}.py").resolve() for place in (folder, Path())}
    return None if Path(spec.origin).resolve() in own else spec.origin
