"""How many episodes may have a live environment at a time, over all batches that play beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Places:
    """So many episodes of a world run at once. Used by several threads."""

    def __init__(self, count: int) -> None:
        self.free = count
        self.change = Condition()

    @contextmanager
    def share(self) -> Iterator[Share]:
        """What one batch takes of them. It gives everything back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            while share.held:
                share.give()


class Share:
    """The places that one batch holds."""

    def __init__(self, places: Places) -> None:
        self._places, self.held = places, 0

    def take(self) -> bool:
        """Take a place; False if none is free. A batch that holds none waits for one: others go on without it."""
        places = self._places
        with places.change:
            if not self.held:
                places.change.wait_for(lambda: places.free)
            if not places.free:
                return False
            places.free -= 1
            self.held += 1
            return True

    def give(self) -> None:
        """Give a place back."""
        with self._places.change:
            self._places.free += 1
            self.held -= 1
            self._places.change.notify()
