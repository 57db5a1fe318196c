"""The steps of a Dockerfile, and what its .dockerignore leaves out."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

KNOWN = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "CMD"}


@dataclass(frozen=True)
class Step:
    instruction: str
    text: str

    def words(self) -> list[str]:
        return shlex.split(self.text)

    def pairs(self) -> dict[str, str]:
        """The assignments of ENV or ARG."""
        return dict(word.split("=", 1) for word in self.words())

    def exec_form(self) -> list[str]:
        """The argument list of CMD."""
        words = json.loads(self.text)
        assert isinstance(words, list)
        return words


def read_steps(path: Path) -> list[Step]:
    """Raises ValueError for an instruction that nobody here would carry out."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    steps = [Step(*line.split(None, 1)) for line in joined]
    unknown = [step.instruction for step in steps if step.instruction not in KNOWN]
    if unknown:
        raise ValueError(f"{path}: nobody here carries out {unknown}")
    return steps


def filled(text: str, arguments: Mapping[str, str]) -> str:
    """A RUN line with the values of its build arguments."""
    return re.sub(r"\$(\w+)", lambda match: arguments[match[1]], text)


def ignored(context: Path) -> Callable[[str, list[str]], set[str]]:
    """For shutil.copytree: which names of a folder .dockerignore leaves out. Raises ValueError for `!`."""
    patterns = [line for line in (context / ".dockerignore").read_text().splitlines() if line.strip()]
    if any(pattern.startswith("!") for pattern in patterns):
        raise ValueError(".dockerignore: exceptions are not carried out here")

    def leave_out(folder: str, names: list[str]) -> set[str]:
        inside = Path(folder).relative_to(context)
        return {name for name in names if is_ignored((inside / name).as_posix(), patterns)}

    return leave_out


def is_ignored(path: str, patterns: list[str]) -> bool:
    """Whether Docker leaves out a path of the build context. `**/NAME` is meant at any depth, other patterns from the
    top."""
    for pattern in patterns:
        anywhere = pattern.startswith("**/")
        if fnmatch.fnmatchcase(path.rsplit("/", 1)[-1] if anywhere else path, pattern.removeprefix("**/")):
            return True
    return False
