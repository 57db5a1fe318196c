"""A call log in memory, for tests of its callers."""

from __future__ import annotations

from models.client.calls import Call, Reply


class MemoryCallLog:
    """Implements models.client.calls.CallLog."""

    blocking = False

    def __init__(self) -> None:
        self.kept: dict[str, Reply] = {}
        self.calls: list[Call] = []

    def find(self, key: str) -> Reply | None:
        return self.kept.get(key)

    def keep(self, key: str, reply: Reply, call: Call) -> None:
        self.kept[key] = reply
        self.calls.append(call)

    def failed(self, key: str, call: Call) -> None:
        self.calls.append(call)
