"""Reading and writing one object by its version: a write may demand that the object is still what it was, or not there.

This is what locks and publication are made of. fsspec has no words for it, so each kind of store has a class here;
other kinds are refused. The version is whatever changes with the content, such as an ETag.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

ABSENT = "*"
"""As a condition of a write: there is no such object."""


class Changed(Exception):
    """The condition of a write does not hold: another process was faster. Never leaves storage.remote."""


class Versions(Protocol):
    """Objects of one kind of store. Paths are fsspec's, with the bucket."""

    def read(self, path: str) -> tuple[bytes, str]:
        """Content and version. Raises FileNotFoundError."""

    def write(self, path: str, data: bytes, only_if: str | None) -> str:
        """Write, and return the new version. `only_if`: the version that it must have, or ABSENT. Raises Changed."""


class S3Versions:
    """By the headers If-Match and If-None-Match of a PUT."""

    def __init__(self, filesystem: Any) -> None:
        self._fs = filesystem

    def read(self, path: str) -> tuple[bytes, str]:
        from fsspec.asyn import sync

        found: tuple[bytes, str] = sync(self._fs.loop, self._get, path)
        return found

    async def _get(self, path: str) -> tuple[bytes, str]:
        bucket, key, _ = self._fs.split_path(path)
        answer = await self._fs._call_s3("get_object", Bucket=bucket, Key=key)
        async with answer["Body"] as body:
            return await body.read(), answer["ETag"]

    def write(self, path: str, data: bytes, only_if: str | None) -> str:
        bucket, key, _ = self._fs.split_path(path)
        condition = {} if only_if is None else {"IfNoneMatch" if only_if == ABSENT else "IfMatch": only_if}
        try:
            answer = self._fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, **condition)
        except OSError as error:
            code = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code", "")
            gone = only_if not in (None, ABSENT) and code == "NoSuchKey"
            if code == "PreconditionFailed" or gone:
                raise Changed from error
            raise
        return str(answer["ETag"])


class MemoryVersions:
    """In the memory of this process: a lock is enough."""

    _lock = threading.Lock()

    def __init__(self, filesystem: Any) -> None:
        self._fs = filesystem

    def read(self, path: str) -> tuple[bytes, str]:
        with self._lock:
            return self._fs.cat_file(path), self._version(path)

    def write(self, path: str, data: bytes, only_if: str | None) -> str:
        with self._lock:
            there = self._version(path) if self._fs.exists(path) else ABSENT
            if only_if not in (None, there):
                raise Changed
            self._fs.pipe_file(path, data)
            return self._version(path)

    def _version(self, path: str) -> str:
        return str(self._fs.created(path).timestamp())


KINDS: dict[str, Callable[[Any], Versions]] = {"s3": S3Versions, "memory": MemoryVersions}
"""By the scheme of the URL."""
