"""While deployments are served, they follow the data folder and the configuration files: new runs can be chosen, a form
begins with what its file says now, and a new file is a new deployment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path

from flows.deployments.offered import Offer, offers

POLL_SECONDS = 5.0


@contextmanager
def kept_current(
    data_dir: Path,
    folder: Path,
    first: tuple[list[Offer], list[str]],
    update: Callable[[list[Offer]], object],
    say: Callable[[str], None],
) -> Iterator[None]:
    """Look every POLL_SECONDS for what has changed since the `first` look at what is offered, which was registered and
    whose problems were told, and `update` that."""
    stop = threading.Event()

    def watch() -> None:
        known, problems, failed = {offer.name: offer for offer in first[0]}, set(first[1]), ""
        while not stop.wait(POLL_SECONDS):
            try:
                found, faults = offers(data_dir, folder)
                changed = [each for each in found if known.get(each.name) != each]
                update(changed)
                new = [f"not offered: {fault}" for fault in sorted(set(faults) - problems)]
                for line in new + _gone(known):
                    say(line)
                problems = set(faults)
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


def _gone(known: dict[str, Offer]) -> list[str]:
    """A line for each deployment whose file was removed, which is not known any more then."""
    gone = {name: offer.defaults["config"] for name, offer in known.items() if "config" in offer.defaults}
    gone = {name: file for name, file in gone.items() if not Path(file).exists()}
    for name in gone:
        del known[name]
    return [
        f"{name}: its file {file} is gone, and its runs would fail: delete the deployment in the UI"
        for name, file in gone.items()
    ]
