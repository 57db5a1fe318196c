"""What stands in for each image: a folder to work in, an environment, and the command that a container would start.

The worker's is made by the steps of the Dockerfile. The others do what their published images do at their start.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.compose_here import user
from tests.support.compose_here.compose_file import Service
from tests.support.compose_here.dockerfile import Step, filled, ignored, read_steps

POSTGRES = re.compile(r"postgres:(\d+)-alpine")
PREFECT = re.compile(r"prefecthq/prefect:(?P<version>[\d.]+)-python(?P<python>[\d.]+)")
PIP_VARIABLES = re.compile(r"(PIP_|SSL_CERT|REQUESTS_CA|https?_proxy$|no_proxy$)", re.IGNORECASE)
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Image:
    folder: Path
    """Where the process starts."""
    environment: dict[str, str]
    command: list[str]
    stop_signal: signal.Signals = signal.SIGTERM


def build_image(
    context: Path, file: str, arguments: Mapping[str, str], room: Path
) -> tuple[Image, dict[str, Path]]:
    """Carry out the steps of a Dockerfile. Returns the image and the folders made, by their path in the container.
    Raises RuntimeError with the output of a step that fails."""
    build = _Build(context, dict(arguments), room)
    for step in read_steps(context / file):
        build.carry_out(step)
    return Image(build.app, build.environment, build.command), {build.workdir: build.app}


class _Build:
    def __init__(self, context: Path, arguments: dict[str, str], room: Path) -> None:
        self.context, self.arguments, self.room = context, arguments, room
        self.values = dict(arguments)
        self.venv, self.app = room / "venv", room / "app"
        self.environment = {"PATH": f"{self.venv}/bin:{SYSTEM_PATH}"}
        self.workdir = "/"
        self.user = "root"
        self.command: list[str] = []

    def carry_out(self, step: Step) -> None:
        getattr(self, f"_{step.instruction.lower()}")(step)

    def _from(self, step: Step) -> None:
        match = re.fullmatch(r"python:(\d+\.\d+)-slim", step.text)
        assert match, f"the base image {step.text} has no stand-in"
        user.make_folder(self.room)
        _run([user.find_python(match[1]), "-m", "venv", str(self.venv)], self.room, {})

    def _workdir(self, step: Step) -> None:
        self.workdir = step.text
        self.app.mkdir()

    def _copy(self, step: Step) -> None:
        """Copied files belong to whoever runs this, as they belong to root in the image."""
        *sources, target = step.words()
        leave_out = ignored(self.context)
        for source in sources:
            there, here = self.context / source, self.app / target
            assert not leave_out(str(there.parent), [there.name]), (
                f".dockerignore leaves out {source}, COPY wants it"
            )
            if there.is_dir():
                shutil.copytree(there, here, ignore=leave_out)
            else:
                shutil.copy(there, here)

    def _arg(self, step: Step) -> None:
        self.values = step.pairs() | self.values

    def _env(self, step: Step) -> None:
        self.environment |= step.pairs()

    def _run(self, step: Step) -> None:
        if step.text.startswith("apt-get "):
            return  # this machine has its own packages
        if step.text.startswith("pip install "):
            self._pip_install(step)
        elif step.text.startswith("useradd "):
            self._make_user(step)
        else:
            raise ValueError(f"nobody here carries out RUN {step.text}")

    def _pip_install(self, step: Step) -> None:
        """pip writes the project's metadata beside its sources, so the folder is the user's while it runs."""
        _own(self.app)
        _run(["sh", "-c", filled(step.text, self.values)], self.app, self.environment | _pip_environment())
        _disown(self.app)

    def _make_user(self, step: Step) -> None:
        """The user exists already; the rest of the line is carried out for it, by root in its own place."""
        made, *rest = step.text.split(" && ")
        self.user = made.split()[-1]
        for command in rest:
            words = [user.name() if word == self.user else word for word in command.split()]
            assert words[0] in {"mkdir", "chown"}, f"nobody here carries out {command}"
            subprocess.run(words, cwd=self.app, check=True)

    def _user(self, step: Step) -> None:
        assert step.text == self.user, f"USER {step.text} was not made by useradd"

    def _volume(self, step: Step) -> None:
        inside = Path(step.text).relative_to(self.workdir)
        assert (self.app / inside).is_dir(), f"VOLUME {step.text} would belong to root"

    def _cmd(self, step: Step) -> None:
        self.command = step.exec_form()


def prefect_image(service: Service, room: Path) -> Image:
    """A virtual environment with the Prefect that the image's tag names."""
    match = PREFECT.fullmatch(service.image)
    assert match, f"{service.image} has no stand-in"
    user.make_folder(room)
    venv = room / "venv"
    environment = {"PATH": f"{venv}/bin:{SYSTEM_PATH}"}
    _run([user.find_python(match["python"]), "-m", "venv", str(venv)], room, {})
    _run(
        ["pip", "install", "--no-cache-dir", f"prefect=={match['version']}"],
        room,
        environment | _pip_environment(),
    )
    return Image(room, environment, [])


def postgres_image(service: Service, room: Path, programs: Path, data: Path, address: str) -> Image:
    """As the image's entry point does at its first start: a database cluster for POSTGRES_USER, POSTGRES_PASSWORD and
    POSTGRES_DB. Every connection over a network asks for the password. `data` is the volume."""
    assert POSTGRES.fullmatch(service.image), f"{service.image} has no stand-in"
    user.make_folder(room)
    wanted = service.environment
    environment = {"PATH": f"{programs}:{SYSTEM_PATH}"}
    password = room / "password"
    password.write_text(wanted["POSTGRES_PASSWORD"])
    password.chmod(0o644)
    _run(
        ["initdb", "--pgdata", str(data), "--username", wanted["POSTGRES_USER"], "--pwfile", str(password),
         "--auth-local", "trust", "--auth-host", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"],
        room, environment,
    )  # fmt: skip
    password.unlink()
    single = ["postgres", "--single", "-D", str(data), "postgres"]
    _run(single, room, environment, given=f'CREATE DATABASE "{wanted["POSTGRES_DB"]}"\n')
    return Image(
        room,
        environment,
        ["postgres", "-D", str(data), "-c", f"listen_addresses={address}", "-k", str(room)],
        stop_signal=signal.SIGINT,
    )


def _pip_environment() -> dict[str, str]:
    """How this machine's pip finds its index. Docker hands proxies to a build in the same way."""
    return {name: value for name, value in os.environ.items() if PIP_VARIABLES.match(name)}


def _own(folder: Path) -> None:
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, user.name())


def _disown(folder: Path) -> None:
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, 0, 0)


def _run(command: list[str], folder: Path, environment: Mapping[str, str], given: str | None = None) -> None:
    """As the user, with the folder as home. Raises RuntimeError with the output where it fails."""
    full = {"PATH": SYSTEM_PATH, "HOME": str(folder), "LANG": "C.UTF-8"} | dict(environment)
    done = subprocess.run(
        command, cwd=folder, env=full, input=given, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **user.as_user(),
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout[-4000:]}")
