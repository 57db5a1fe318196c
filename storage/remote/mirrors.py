"""What the layers above ask of a data folder that may be the mirror of a URL. For any other folder nothing happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from configs.data_folder import url_of

if TYPE_CHECKING:  # a local data folder needs none of it
    from storage.remote.mirror import Mirror
    from storage.store import IngestReport

_made: dict[Path, Mirror] = {}
_making = threading.Lock()
Log = Callable[[str], None]


def mirror_of(root: Path) -> Mirror | None:
    """The mirror that a folder is; None where it is no mirror."""
    url = url_of(root)
    if url is None:
        return None
    from storage.remote.mirror import Mirror

    with _making:
        if root not in _made:
            _made[root] = Mirror(root, url)
        return _made[root]


def check_store(root: Path) -> None:
    """Raises StorageFault where the store of a mirror cannot be used: packages, bucket, credentials, conditions."""
    if mirror := mirror_of(root):
        mirror.objects  # noqa: B018  # is checked when it is opened


def pull(root: Path) -> None:
    """Download everything that is new. Raises StorageFault."""
    if mirror := mirror_of(root):
        mirror.pull()


def push(root: Path) -> None:
    """Upload everything that is new. Raises StorageFault."""
    if mirror := mirror_of(root):
        mirror.push()


def pull_published(root: Path) -> None:
    """Download what commands read that only show something: the published store and the states of runs. Raises
    StorageFault."""
    if mirror := mirror_of(root):
        from storage.remote.layout import READ
        from storage.remote.published import fetch

        fetch(mirror)
        mirror.pull(READ)


def publish(root: Path) -> IngestReport:
    """Bring the store of a data folder up to date and publish it, where it is one of a URL also there. Raises
    StorageFault."""
    mirror = mirror_of(root)
    if mirror is None:
        from storage.store import Store

        return Store(root).ingest()
    from storage.remote.published import publish as publish_there

    return publish_there(mirror)


@contextmanager
def held(
    root: Path, what: str, works: str, log: Log, check: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold a lock among the machines that work at a URL, as `Leases.hold` does."""
    mirror = mirror_of(root)
    if mirror is None:
        yield
        return
    with mirror.leases.hold(what, works, log, check):
        yield


def is_held(root: Path, what: str) -> bool:
    """Whether a machine holds a lock; one that was killed may still seem to."""
    mirror = mirror_of(root)
    return mirror is not None and mirror.leases.is_held(what)


@contextmanager
def shared_batch(root: Path, key: str, works: str, log: Log, check: Callable[[], None]) -> Iterator[None]:
    """Around the making of a batch: no other machine makes it at the same time, what another has made is here when it
    begins, and the store has what was made when it ends. `key`: the name of its cached result."""
    mirror = mirror_of(root)
    if mirror is None:
        yield
        return
    with mirror.leases.hold(f"batch-{key}", works, log, check):
        if mirror.has(f"results/{key}"):
            mirror.pull()
        yield
        mirror.push()
