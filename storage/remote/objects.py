"""The objects below a URL: listed, read, written, with another try where a request fails."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from storage.faults import StorageFault
from storage.remote.versions import ABSENT, KINDS, Changed

T = TypeVar("T")
TRIES = 7
PAUSE = 0.2
"""Seconds before the second try; twice as many before each further one: some 12 in all."""
LONGEST_REASON = 200


class Objects:
    """Names are relative to the URL, with slashes. Every method raises StorageFault where the store cannot be used."""

    def __init__(self, url: str) -> None:
        self.url = url
        scheme, _, path = url.partition("://")
        self._fs = _filesystem(url, scheme)
        self._root = self._fs._strip_protocol(url) if scheme == "memory" else path
        self._versions = KINDS[scheme](self._fs)

    def versions(self, folder: str) -> dict[str, str]:
        """The version of each object in a folder, by its name. A request a thousand objects."""
        above = f"{self._root}/"
        found = self._tried(partial(self._fs.find, above + folder, detail=True), f"list {folder}") or {}
        return {
            path.removeprefix(above): str(info.get("ETag") or info.get("created"))
            for path, info in found.items()
            if path.startswith(above) and not path.endswith("/")  # what a console makes of a "folder"
        }

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Content and version of an object; None where there is none."""
        return self._tried(partial(self._versions.read, f"{self._root}/{name}"), f"read {name}")

    def write(self, name: str, data: bytes, only_if: str | None = None) -> str:
        """Write a small object and return its version. `only_if`: the version that it must have, or ABSENT. Raises
        Changed where it has another. A condition is for content that is nobody else's, so that a write whose answer was
        lost is told from another's."""
        try:
            return self._must(partial(self._versions.write, f"{self._root}/{name}", data, only_if), name)
        except Changed:
            there = self.read(name)
            if there is None or there[0] != data:
                raise
            return there[1]

    def upload(self, file: Path, name: str) -> None:
        """Write a file of any size."""
        self._must(partial(self._fs.put_file, str(file), f"{self._root}/{name}"), name)

    def download(self, name: str, file: Path) -> bool:
        """Read an object of any size into a file. False where there is none; then no file is left."""
        found = self._tried(partial(self._get, f"{self._root}/{name}", file), f"read {name}")
        if not found:
            file.unlink(missing_ok=True)
        return bool(found)

    def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        self._tried(partial(self._fs.rm_file, f"{self._root}/{name}"), f"delete {name}")

    def _get(self, path: str, file: Path) -> bool:
        self._fs.get_file(path, str(file))
        return True

    def _must(self, call: Callable[[], T], name: str) -> T:
        """Of a write. S3 says of a missing bucket what it says of a missing object."""
        done: list[T] = []
        self._tried(lambda: done.append(call()), f"write {name}")
        if not done:
            raise StorageFault(f"{self.url}: there is no such bucket: make it, or correct data_dir")
        return done[0]

    def _tried(self, call: Callable[[], T], what: str) -> T | None:
        """What a call gives; None where the object is missing."""
        for tried in range(1, TRIES + 1):
            try:
                return call()
            except FileNotFoundError as error:
                if _says(error, "NoSuchBucket"):
                    raise self._no_bucket() from None
                return None
            except (Changed, StorageFault):
                raise
            except Exception as error:  # botocore, aiohttp and fsspec each raise their own
                if fault := self._final(error):
                    raise fault from None  # the error holds the request, with its signature
                if tried == TRIES:
                    raise StorageFault(
                        f"{self.url}: cannot {what} ({_reason(error)}): run the same command again when the store "
                        "answers"
                    ) from None
            time.sleep(PAUSE * 2 ** (tried - 1) * random.uniform(0.5, 1.0))
        raise AssertionError("the last try returns or raises")

    def _final(self, error: Exception) -> StorageFault | None:
        """The fault for what no other try mends."""
        if isinstance(error, PermissionError):
            return StorageFault(
                f"{self.url}: the store refuses these credentials ({_reason(error)}): check AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY, and what this user may do there"
            )
        if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
            return StorageFault(
                f"{self.url}: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
            )
        if _says(error, "NoSuchBucket"):
            return self._no_bucket()
        return None

    def _no_bucket(self) -> StorageFault:
        return StorageFault(f"{self.url}: there is no such bucket: make it, or correct data_dir")


def check_conditions(objects: Objects) -> None:
    """Raises StorageFault where the URL cannot be written to, or the store ignores conditions of writes: then two
    machines would both hold a lock."""
    name = f"locks/probe-{time.time_ns():x}-{random.getrandbits(32):08x}"
    objects.write(name, b"first", ABSENT)
    try:
        objects.write(name, b"second", ABSENT)
        honoured = False
    except Changed:
        honoured = True
    objects.delete(name)
    if not honoured:
        raise StorageFault(
            f"{objects.url}: this store ignores If-None-Match, so two machines could overwrite each other's work: use "
            "one that knows conditional writes"
        )


def _filesystem(url: str, scheme: str) -> Any:
    """fsspec's filesystem. It keeps no listings: another machine may write at any moment. Raises StorageFault."""
    if scheme not in KINDS:
        raise StorageFault(
            f"data_dir {url}: {scheme} offers no conditional writes here, which locks need: use s3:// or a folder"
        )
    try:
        import fsspec

        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError:
        raise StorageFault(
            f"data_dir {url}: the packages for it are missing: pip install 'steca-factory[s3]'"
        ) from None


def _says(error: Exception, code: str) -> bool:
    answer = getattr(error.__cause__, "response", {})
    return bool(answer.get("Error", {}).get("Code") == code) or code in str(error)


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_REASON]
