"""The data folder that a command was given, brought here first where it is a URL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from configs.data_folder import url_of
from configs.faults import ConfigFault
from storage.faults import StorageFault
from storage.remote import mirrors

FOLLOWED_EVERY = 10.0
"""Seconds after which pages that are served look for a newer store at a URL."""


def absolute(data_dir: Path) -> Path:
    """The folder itself; of a URL, its mirror as it is."""
    return data_dir.expanduser().resolve()


def to_read(data_dir: Path) -> Path:
    """For a command that only shows something: of a URL, the published store and the states of runs are downloaded, if
    they are new. Raises StorageFault."""
    root = absolute(data_dir)
    mirrors.pull_published(root)
    return root


def whole(data_dir: Path) -> Path:
    """For a command that reads more: of a URL, all that is new is downloaded. Raises StorageFault."""
    root = absolute(data_dir)
    mirrors.pull(root)
    return root


def local(data_dir: Path, command: str) -> Path:
    """For a command that needs a folder. Raises ConfigFault for a URL."""
    root = absolute(data_dir)
    if url := url_of(root):
        raise ConfigFault(
            f"`{command}` needs a data folder on this machine, and {url} is a URL: docs/object-storage.md says what is "
            "possible there"
        )
    return root


@contextmanager
def followed(root: Path) -> Iterator[None]:
    """Download what is newly published at a URL again and again, until the end of the block."""
    if url_of(root) is None:
        yield
        return
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(FOLLOWED_EVERY):
            with suppress(StorageFault):  # what is here stays
                mirrors.pull_published(root)

    threading.Thread(target=follow, daemon=True, name="steca-follow").start()
    try:
        yield
    finally:
        ended.set()
