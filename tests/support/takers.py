"""Many that want the same lock of an object store at the same moment."""

from __future__ import annotations

import threading

from storage.remote.lease import Lease
from storage.remote.objects import Objects
from storage.remote.versions import ABSENT


def taken_at_once(objects: Objects, takers: int) -> list[bool]:
    """Whether each of so many machines, in threads, took the lock."""
    taken: list[bool] = []

    def take(machine: int) -> None:
        taken.append(Lease(objects, "locks/x", str(machine)).take(ABSENT))

    threads = [threading.Thread(target=take, args=(machine,)) for machine in range(takers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken
