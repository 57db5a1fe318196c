"""A JSON array, cut into its elements while it is read: a file of any size in little memory.

The elements are not parsed here. So one that is no JSON does not cost those after it. If a bracket or quote is not
closed, the array seems to go on to the end of the file: then what follows is cut where a line begins as the first
element did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from formats.importing.rows import MOST_BYTES, TOO_LONG

CHUNK = 1 << 20
_REST = rb'[^"\\]*(?:\\.[^"\\]*)*"'
_REST_OF_STRING = re.compile(_REST, re.DOTALL)
_MARK = re.compile(b'"' + _REST + rb'|["\[\]{},\n]', re.DOTALL)
"""A whole string, the beginning of one that goes on in the next chunk, or what matters outside of strings."""
_BACKSLASHES = re.compile(rb"\\+\Z")
Element = tuple[int, bytes, str]
"""The line where it begins, its text, and why it cannot be read ("" if nothing speaks against it)."""
CUT = "the array ends in the middle: something before is not closed, or the file is cut"


def elements(file: Chunks) -> Iterator[Element]:
    """The elements of the array that a file holds."""
    cutter, held = _Cutter(), b""
    while chunk := file.read(CHUNK):
        chunk = held + chunk
        odd = (found := _BACKSLASHES.search(chunk)) is not None and len(found[0]) % 2
        held = chunk[-1:] if odd else b""  # an escape that goes on in the next chunk
        yield from cutter.feed(chunk[:-1] if odd else chunk)
    yield from cutter.feed(held)
    yield from cutter.rest()


class Chunks(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Cutter:
    """Follows strings and brackets from chunk to chunk."""

    def __init__(self) -> None:
        self._depth, self._in_string, self._closed = 0, False, False
        self._line = self._begins = 1
        self._indent: bytes | None = None
        self._before = b""
        self._text = bytearray()
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Element]:
        start = 0
        if self._closed:
            yield from self._after(chunk)
            return
        for found in _MARK.finditer(chunk, self._end_of_string(chunk)):
            at, mark = found.start(), found[0]
            if mark[:1] in b'"\n':
                self._line += mark.count(b"\n")
                if mark == b'"':
                    self._in_string = True
                    self._line += chunk.count(b"\n", at)
                    break
            elif self._depth == 1 and mark in b",]":
                yield from self._cut(chunk[start:at])
                start = at + 1
                if mark == b"]":
                    self._closed = True
                    yield from self._after(chunk[start:])
                    return
            elif mark in b"[{":
                self._depth += 1
                if self._depth == 1:
                    start = at + 1
                elif self._indent is None:
                    self._indent = _last_line(self._before + chunk[:at])
            elif mark in b"]}":
                self._depth -= 1
        if self._indent is None:
            self._before = _last_line(self._before + chunk)
        self._add(chunk[start:])

    def _end_of_string(self, chunk: bytes) -> int:
        """Where a string that began before ends in a chunk, or the chunk's end."""
        if not self._in_string:
            return 0
        found = _REST_OF_STRING.match(chunk)
        self._in_string = found is None
        end = found.end() if found else len(chunk)
        self._line += chunk.count(b"\n", 0, end)
        return end

    def _add(self, part: bytes) -> None:
        if not self._size:
            part = part.lstrip()
            self._begins = self._line - part.count(b"\n")
        self._size += len(part)
        self._text += part[: MOST_BYTES - len(self._text)]

    def _cut(self, last: bytes) -> Iterator[Element]:
        self._add(last)
        text, size = bytes(self._text).rstrip(), self._size
        self._text.clear()
        self._size = 0
        if text:
            yield self._begins, text, TOO_LONG if size > MOST_BYTES else ""

    def _after(self, chunk: bytes) -> Iterator[Element]:
        """What comes after the array is read line by line."""
        *lines, last = chunk.split(b"\n")
        for line in lines:
            yield from self._cut(line)
            self._line += 1
        self._add(last)

    def rest(self) -> Iterator[Element]:
        """What is left at the end of the file."""
        if self._closed:
            yield from self._cut(b"")
            return
        mark = b"\n" + re.escape(self._indent or b"") + rb"(?=\{)"
        begins, (broken, *others) = self._begins, re.split(mark, bytes(self._text))
        yield begins, broken.rstrip(), CUT if self._size <= MOST_BYTES else f"{CUT}; {TOO_LONG}"
        for before, element in zip([broken, *others], others, strict=False):
            begins += before.count(b"\n") + 1
            yield begins, element.rstrip(b" \t\r\n,]"), ""


def _last_line(text: bytes) -> bytes:
    return text[text.rfind(b"\n") + 1 :]
