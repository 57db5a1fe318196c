"""Where the torch of the worker's image comes from."""

from __future__ import annotations

import os
from pathlib import Path

import httpx

from tests.support.compose_here.dockerfile import read_steps

NAME = "TORCH_INDEX"


def reachable_index(dockerfile: Path, room: Path) -> dict[str, str]:
    """The build argument TORCH_INDEX: that of the environment, or none if the Dockerfile's index answers. Else an empty
    index, so that pip takes torch from where this machine is configured to take packages."""
    if NAME in os.environ:
        return {NAME: os.environ[NAME]}
    values = [step.pairs() for step in read_steps(dockerfile) if step.instruction == "ARG"]
    index = next(pair[NAME] for pair in values if NAME in pair)
    try:
        httpx.get(index, timeout=10)
        return {}
    except httpx.TransportError:
        print(f"{index} does not answer: torch is taken from pip's own index")
        empty = room / "empty-index"
        empty.mkdir()
        return {NAME: empty.as_uri()}
