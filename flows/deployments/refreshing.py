"""While deployments are served, their forms follow the data folder and the configuration files: new runs can be chosen,
and a form begins with what its file says now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path

from flows.deployments.offered import Offer, offers
from flows.deployments.registering import register

POLL_SECONDS = 5.0


@contextmanager
def kept_current(
    data_dir: Path, folder: Path, offered: list[Offer], say: Callable[[str], None]
) -> Iterator[None]:
    """Look every POLL_SECONDS for what has changed since the deployments were registered, and register that again."""
    stop = threading.Event()

    def watch() -> None:
        known, failed = {offer.name: offer for offer in offered}, ""
        while not stop.wait(POLL_SECONDS):
            try:
                changed = [each for each in offers(data_dir, folder)[0] if known.get(each.name, each) != each]
                register(changed, lambda line: None)
                known |= {offer.name: offer for offer in changed}
                failed = ""
            except Exception as error:  # the server may be away: the next look tries again
                if str(error) != failed:
                    say(f"the forms could not be brought up to date: {error}")
                failed = str(error)

    thread = threading.Thread(target=copy_context().run, args=(watch,), name="forms", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
