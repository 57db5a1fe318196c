"""Machines that work on one store: processes of `steca`, each with a mirror of its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.data_folder import MIRRORS, data_folder
from storage.records import RECORDS
from storage.runs import RunFolder
from storage.store import Store
from tests.support.s3_server import BUCKET, S3Server
from tests.support.tiny_factory import ROOT, STECA, TINY

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Machine:
    """A machine whose mirrors lie in `folder`, and which works at a prefix of the test's bucket."""

    server: S3Server
    folder: Path
    prefix: str

    @property
    def url(self) -> str:
        return f"s3://{BUCKET}/{self.prefix}"

    @property
    def root(self) -> Path:
        """The mirror."""
        return self.folder / data_folder(self.url).name

    def run(self, *overrides: str) -> subprocess.Popen[str]:
        """Start the tiny factory."""
        sets = [part for one in (f"data_dir={self.url}", *overrides) for part in ("--set", one)]
        return self.start("run", "--config", str(TINY), *sets)

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        variables = {**os.environ, **self.server.environment, MIRRORS: str(self.folder), **environment}
        return subprocess.Popen(
            [*STECA, *words],
            cwd=ROOT,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def rows(self, run: str) -> Rows:
        """All rows of a run in the published store of this machine, without what tells when they were made."""
        return rows_of(self.root, run)


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """What a process printed; it must end so."""
    try:
        output, _ = process.communicate(timeout=900)
    except BaseException:
        process.kill()
        raise
    assert process.returncode == code, output
    return output


def rows_of(root: Path, run: str) -> Rows:
    store = Store(root)
    sql = "SELECT * EXCLUDE (provenance) FROM of_run('{}', $run) ORDER BY ALL"
    with store.opened():
        return {r.table: store.query(sql.format(r.table), {"run": run})[1] for r in RECORDS}


def cached(machine: Machine, run: str) -> tuple[int, int]:
    """(batches that came from the cache when the stages of a run were last done, all its batches)."""
    states = RunFolder(machine.root, run).stages()
    return sum(state.cached_batches for state in states), sum(len(state.batches) for state in states)
