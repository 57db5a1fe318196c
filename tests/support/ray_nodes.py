"""A Ray cluster of two nodes on this machine. A node can be killed as a machine that loses its power."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

SMALLEST_STORE = 78_643_200
"""Bytes: Ray refuses less."""


class Nodes:
    """The head and one more node, each with one CPU and the smallest object store."""

    def __init__(self) -> None:
        from tasks.ray.cluster import installed

        installed()
        from ray.cluster_utils import Cluster

        args = {"num_cpus": 1, "object_store_memory": SMALLEST_STORE, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=args)
        self.second = self._added()

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def replace_second(self) -> None:
        """Add a node in place of the one that was killed."""
        self._cluster.remove_node(self.second, allow_graceful=False)  # or it would be waited for
        self.second = self._added()

    def _added(self) -> Any:
        node = self._cluster.add_node(num_cpus=1, object_store_memory=SMALLEST_STORE)
        self._cluster.wait_for_nodes()
        return node

    def of_second(self, pids: list[int]) -> list[int]:
        """Which of these processes belong to the second node."""
        mine = {process.pid for process in self._processes()}
        return [pid for pid in pids if pid in mine]

    def kill_second(self) -> None:
        for process in self._processes():
            process.kill()
        psutil.wait_procs(self._processes(), timeout=10)

    def _processes(self) -> list[psutil.Process]:
        started = [info.process.pid for infos in self.second.all_processes.values() for info in infos]
        found = [psutil.Process(pid) for pid in started if psutil.pid_exists(pid)]
        return [*found, *(below for process in found for below in process.children(recursive=True))]

    def close(self) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()


@contextmanager
def two_nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    try:
        yield nodes
    finally:
        nodes.close()
