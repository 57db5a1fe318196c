"""`steca world export`: a folder that OpenEnv's tools take as an environment."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from cli.terminal.console import console, say
from configs.schema import FactoryConfig
from environments.base import EnvironmentFault
from environments.openenv.serving.app import public_name
from environments.registry import open_world
from storage.runs import package_version

APP = '''"""The world of world.yaml as an OpenEnv server."""

import argparse
from pathlib import Path

import uvicorn

from environments.openenv.serving.app import app_of_file

app = app_of_file(Path(__file__).parents[1] / "world.yaml", tasks=TASKS)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    uvicorn.run(app, host=options.host, port=options.port)


if __name__ == "__main__":
    main()
'''
PYPROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "openenv-NAME"
version = "0.1.0"
description = "The world NAME of steca-factory as an OpenEnv environment"
requires-python = ">=3.11"
dependencies = ["steca-factory>=VERSION"]

[project.optional-dependencies]
tools = ["openenv>=0.10"]

[project.scripts]
server = "server.app:main"

[tool.setuptools]
packages = ["server"]
"""
DOCKERFILE = """# Build it from the image of steca-factory: docker build -t NAME --build-arg STECA=steca-factory .
ARG STECA=steca-factory
FROM ${STECA}
WORKDIR /env
COPY --chown=steca . .
EXPOSE 8000
HEALTHCHECK CMD python -c "from urllib.request import urlopen; urlopen('http://localhost:8000/health')"
CMD ["python", "-m", "server.app"]
"""


def export_world(config: FactoryConfig, folder: Path, tasks: int) -> None:
    """Write the folder, and say what to do next. Raises EnvironmentFault rather than write into one that has files."""
    if folder.exists() and any(folder.iterdir()):
        raise EnvironmentFault(f"{folder} has files already: choose another folder")
    world = open_world(config.environment)
    try:
        name, version = public_name(world).lower(), str(world.version)
    finally:
        world.close()
    settings = config.environment.model_dump(mode="json", exclude_unset=True)
    files = {
        "openenv.yaml": _yaml(_manifest(name, version)),
        "world.yaml": _yaml({"environment": settings}),
        "pyproject.toml": PYPROJECT.replace("NAME", name).replace("VERSION", package_version()),
        "Dockerfile": DOCKERFILE.replace("NAME", name),
        "server/__init__.py": '"""The server."""\n',
        "server/app.py": APP.replace("TASKS", str(tasks)),
    }
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    own = _module_file(config.environment.name)
    if own:
        shutil.copy(own, folder)
    say(console(), f"wrote {folder}: {', '.join([*files, *([own.name] if own else [])])}. Next:")
    say(console(), f"  cd {folder}\n  openenv validate --level static\n  python -m server.app --port 8000")


def _manifest(name: str, version: str) -> dict[str, object]:
    """What openenv.yaml says. The resources are a guess, to be mended by who knows the world."""
    return {
        "spec_version": 1,
        "name": name,
        "version": version,
        "type": "space",
        "runtime": "fastapi",
        "app": "server.app:app",
        "port": 8000,
        "validation": {
            "reward": {"range": [0.0, 1.0], "oracle_tolerance": 0.0, "floor_margin": 0.1},
            "resources": {"cpu": 1.0, "memory_mb": 2048, "disk_mb": 4096, "episode_timeout_s": 600.0},
            "capabilities": {"verifier": {"kind": "reward_channel"}, "task_api": True},
            "types": {"tags": ["text"]},
        },
    }


def _module_file(name: str) -> Path | None:
    """The file in the current folder that a world given as module:Class comes from."""
    module = name.rpartition(":")[0]
    file = Path(module if module.endswith(".py") else f"{module}.py")
    return file if module and file.is_file() else None


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False)
