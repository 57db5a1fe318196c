"""The mirror of a URL: a folder of this machine in which all work is done, pulled before it and pushed after it.

`pull` lists the store and downloads what is new there, `push` lists the folder and uploads what is new here. Both look
at every file, so what a killed process left is made good by the next one. Most files are named by their content: a name
that is there is enough. Of the others (manifests, cached results, states of runs) the version in the store decides:
where a file has changed both there and here, the store's is kept, as that of another machine which went on.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from storage.faults import StorageFault
from storage.files import WRITING, writing_in
from storage.remote.index import Index, Known
from storage.remote.layout import (
    CHECKPOINT,
    CHECKPOINT_MANIFEST,
    FOLDERS,
    MANIFESTS,
    ORDER,
    changes,
    files_below,
    is_rollouts,
    place,
    signature,
)
from storage.remote.lease import Leases
from storage.remote.objects import Objects, check_conditions
from storage.shards import read_manifest

T = TypeVar("T")
AT_ONCE = 16
"""Transfers at the same time."""


class Mirror:
    """The mirror `root` of a URL. One for each URL in a process (`storage.remote.mirrors`)."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url
        self.index = Index(root / "remote" / "index.sqlite")
        self._own, self._using = threading.RLock(), FileLock(root / "remote" / "lock", thread_local=False)

    @cached_property
    def objects(self) -> Objects:
        """The store, found to be usable. Raises StorageFault where it is not."""
        objects = Objects(self.url)
        check_conditions(objects)
        return objects

    @cached_property
    def leases(self) -> Leases:
        return Leases(self.objects, self.root, self.index.identity)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One transfer at a time, among all threads and processes that have this mirror."""
        with writing_in(self.root):
            (self.root / "remote").mkdir(parents=True, exist_ok=True)
        with self._own, self._using:
            yield

    def pull(self, folders: Collection[str] = FOLDERS) -> None:
        """Download what is new in the store. Raises StorageFault."""
        with self.alone():
            known = self.index.load()
            there: dict[str, str] = {}
            # What refers to others is listed first: what it refers to is there by then.
            for folder in [folder for folder in reversed(FOLDERS) if folder in folders]:
                there |= self.objects.versions(folder)
            self._follow(known, there, folders)
            wanted = [name for name in there if self._lacks(name, there[name], known.get(name))]
            whole = [name for name in wanted if not name.startswith(f"{CHECKPOINT}/")]
            for at in ORDER:
                fetched = self._each([name for name in whole if place(name) == at], self._fetch)
                self.index.add({name: known for name, known in fetched if known})
            self._fetch_checkpoints(wanted, there)

    def has(self, name: str) -> bool:
        """Whether the store has an object: one small request for a cached result."""
        return self.objects.read(name) is not None

    def push(self) -> None:
        """Upload what is new here, in the order in which it may become visible. Raises StorageFault, also where another
        machine has taken over what this process works on."""
        with self.alone():
            self.leases.require()
            known = self.index.load()
            new: dict[str, str] = {}
            here: set[str] = set()
            for folder in reversed(FOLDERS):  # as in `pull`
                for name, entry in files_below(self.root, folder):
                    here.add(name)
                    sign = self._news(name, entry, known.get(name))
                    if sign is not None:
                        new[name] = sign
            for at in ORDER:
                sent = self._each(
                    [name for name in new if place(name) == at], lambda name: self._send(name, new[name])
                )
                self.index.add(dict(sent))
            self._forget_merged(known, here)

    def _lacks(self, name: str, version: str, known: Known | None) -> bool:
        """Whether a file of the store is to be downloaded."""
        if place(name) is None:
            return False
        if changes(name) and (known is None or known.version != version):
            return True
        return not (self.root / name).exists()

    def _news(self, name: str, entry: os.DirEntry[str], known: Known | None) -> str | None:
        """The signature of a file that the store lacks; None where it has it."""
        if not changes(name):
            return "" if known is None else None
        try:
            sign = signature(entry.stat())
        except FileNotFoundError:
            return None
        return None if known is not None and known.sign == sign else sign

    def _fetch(self, name: str) -> tuple[str, Known | None]:
        """Download one file. None where it has just been deleted."""
        path = self.root / name
        if not changes(name):
            return name, Known("", "") if self._download(name, path) else None
        found = self.objects.read(name)
        if found is None:
            return name, None
        with self._arriving(path) as temporary:
            temporary.write_bytes(found[0])
            if place(name) == MANIFESTS:
                self._fetch_shards(name, temporary)
            sign = signature(temporary.stat())
        return name, Known(found[1], sign)

    def _fetch_shards(self, name: str, manifest: Path) -> None:
        """The shards of a manifest that were written after the store was listed."""
        folder = name.split("/superseded/")[0] if "/superseded/" in name else name.rpartition("/")[0]
        try:
            shards = read_manifest(manifest)[0].shards
        except StorageFault:  # damaged, which the ingest reports
            return
        for shard in shards:
            path = self.root / folder / shard.file
            if not path.exists():
                self._download(f"{folder}/{shard.file}", path)

    def _fetch_checkpoints(self, wanted: Iterable[str], there: Iterable[str]) -> None:
        """Whole checkpoints, each a folder that appears at once."""
        folders = {"/".join(name.split("/")[:2]) for name in wanted if name.startswith(f"{CHECKPOINT}/")}
        for folder in sorted(folders):
            files = [name for name in there if name.startswith(f"{folder}/")]
            target = self.root / folder
            if f"{folder}/{CHECKPOINT_MANIFEST}" not in files or target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=WRITING))
            try:
                got = self._each(files, partial(self._download_into, scratch))
                if all(got):
                    os.chmod(scratch, 0o755)
                    os.rename(scratch, target)
                    self.index.add({name: Known("", "") for name in files})
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def _download_into(self, folder: Path, name: str) -> bool:
        """A file of a checkpoint."""
        return self._download(name, folder / name.split("/", 2)[2])

    def _download(self, name: str, path: Path) -> bool:
        with self._arriving(path) as temporary:
            return self.objects.download(name, temporary)

    @contextmanager
    def _arriving(self, path: Path) -> Iterator[Path]:
        """A temporary file that takes its place at the end, if it is there then."""
        with writing_in(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=WRITING)
            os.close(handle)
            temporary = Path(name)
            try:
                yield temporary
                if temporary.exists():
                    os.chmod(temporary, 0o644)
                    os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)

    def _send(self, name: str, sign: str) -> tuple[str, Known]:
        path = self.root / name
        if changes(name):
            return name, Known(self.objects.write(name, path.read_bytes()), sign)
        try:
            self.objects.upload(path, name)
        except StorageFault:
            if path.exists() or not is_rollouts(name):
                raise
        return name, Known("", "")

    def _follow(self, known: dict[str, Known], there: dict[str, str], folders: Collection[str]) -> None:
        """Forget files that the store has no longer, so that they are uploaded again; but rollouts that another machine
        has merged into a newer file are deleted here too."""
        gone = [name for name in known if name not in there and name.partition("/")[0] in folders]
        tasks = {name.rpartition("/")[0] for name in there if is_rollouts(name)}
        for name in gone:
            if is_rollouts(name) and name.rpartition("/")[0] in tasks:
                (self.root / name).unlink(missing_ok=True)
        self.index.forget(gone)
        for name in gone:
            del known[name]

    def _forget_merged(self, known: dict[str, Known], here: set[str]) -> None:
        """Delete rollouts in the store that were merged into a newer file here."""
        tasks = {name.rpartition("/")[0] for name in here if is_rollouts(name)}
        merged = [n for n in known if is_rollouts(n) and n not in here and n.rpartition("/")[0] in tasks]
        self._each(merged, self.objects.delete)
        self.index.forget(merged)

    def _each(self, names: list[str], call: Callable[[str], T]) -> list[T]:
        """Call for every name, many at once."""
        if len(names) < 2:
            return [call(name) for name in names]
        with ThreadPoolExecutor(min(AT_ONCE, len(names)), thread_name_prefix="steca-transfer") as pool:
            return list(pool.map(call, names))
