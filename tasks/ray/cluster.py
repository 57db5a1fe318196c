"""Connects to a Ray cluster, and checks its nodes before the work begins. The only file that imports Ray."""

from __future__ import annotations

import atexit
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from configs.cluster import RayConfig
from configs.schema import FactoryConfig
from storage.files import write_atomic
from tasks.ray.actor import look_around
from tasks.ray.faults import RunnerFault
from tasks.ray.messages import Place

CONNECT_SECONDS = 5.0
LOOK_SECONDS = 120.0
"""For a node to start a process that imports this project."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "DO_NOT_TRACK": "1"}
_connecting = threading.Lock()
_checked: set[tuple[RayConfig, Path]] = set()


def installed() -> ModuleType:
    """The package `ray`. Raises RunnerFault if it is missing."""
    os.environ.update(_QUIET)
    try:
        import ray
    except ImportError:
        raise RunnerFault(
            "execution.runner is ray, but Ray is not installed: pip install '.[ray]', here and on every node"
        ) from None
    return ray


def check_reachable(config: RayConfig) -> None:
    """Raises RunnerFault if Ray is missing, or nothing listens at the cluster's address."""
    installed()
    if config.address == "local":
        return
    host, _, port = config.address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RunnerFault(_unreachable(config, str(error))) from None


def connected(config: RayConfig) -> ModuleType:
    """The package `ray`, connected until this process ends. Raises RunnerFault."""
    ray = installed()
    with _connecting:
        if not ray.is_initialized():
            check_reachable(config)
            own = {"include_dashboard": False} if config.address == "local" else {}
            try:
                with _own_signals():
                    ray.init(config.address, log_to_driver=False, logging_level="CRITICAL", **own)
            except Exception as error:
                raise RunnerFault(_unreachable(config, str(error).strip().partition("\n")[0])) from error
    return ray


def check_cluster(config: FactoryConfig) -> None:
    """Check once that an actor fits on some node, and that every node has this project and sees the data folder. Raises
    RunnerFault."""
    wanted, root = config.execution.ray, config.data_dir.expanduser().resolve()
    ray = connected(wanted)
    if (wanted, root) in _checked:
        return
    nodes = [node for node in ray.nodes() if node["Alive"]]
    _check_room(wanted, nodes)
    _look(ray, nodes, make_place(root))
    _checked.add((wanted, root))


def make_place(root: Path) -> Place:
    """Where actors are to work. Writes its token into the data folder `root`."""
    content = secrets.token_hex(16)
    token = root / "locks" / f"ray-{content[:8]}"
    write_atomic(token, content.encode())
    atexit.register(token.unlink, missing_ok=True)
    return Place(folder=os.getcwd(), data=str(root), token=str(token), content=content)


def driver_address(settings: RayConfig) -> str:
    """An address of this machine that all nodes can reach: the loopback interface's if there is no other machine."""
    ray = connected(settings)
    machines = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    return str(ray.util.get_node_ip_address()) if len(machines) > 1 else "127.0.0.1"


def _check_room(wanted: RayConfig, nodes: list[dict[str, Any]]) -> None:
    needs = {"CPU": wanted.cpus, "GPU": wanted.gpus}
    if not any(
        all(node["Resources"].get(kind, 0) >= amount for kind, amount in needs.items()) for node in nodes
    ):
        raise RunnerFault(
            f"no node of the Ray cluster {wanted.address} has {wanted.cpus:g} CPUs and {wanted.gpus:g} GPUs: lower "
            "execution.ray.cpus or execution.ray.gpus, or add a node"
        )


def _look(ray: ModuleType, nodes: list[dict[str, Any]], place: Place) -> None:
    look = ray.remote(num_cpus=0, max_retries=0)(look_around)
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    asked = {
        node["NodeManagerAddress"]: look.options(scheduling_strategy=here(node["NodeID"], soft=False)).remote(
            place.model_dump_json()
        )
        for node in nodes
    }
    for address, answer in asked.items():
        try:
            fault = ray.get(answer, timeout=LOOK_SECONDS)
        except ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()
            raise RunnerFault(
                f"node {address} of the Ray cluster cannot run this project ({said[-1] if said else error}): use the "
                "same checkout and the same packages on all nodes"
            ) from None
        if fault:
            raise RunnerFault(fault)


def _unreachable(config: RayConfig, why: str) -> str:
    if config.address == "local":
        return f"Ray cannot be started on this machine ({why}): look in /tmp/ray/session_latest/logs"
    return (
        f"the Ray cluster {config.address} cannot be reached ({why}): start it with `ray start --head`, or correct "
        "execution.ray.address"
    )


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray installs a handler of SIGTERM. Ours stays: it waits for requests that are paid for."""
    mine = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGTERM, before)
