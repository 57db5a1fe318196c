"""The vLLM servers that this process has started. In a whole run they outlive the stages that use them: starting one
takes a minute or more, and explore, rewards and the test of the warm-up policy ask the same checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import RLock

from models.policy import PolicyFault
from models.served.vllm_server import VllmServer

Make = Callable[[], VllmServer]
Log = Callable[[str], None]


@dataclass
class _Running:
    server: VllmServer
    ready: Future[VllmServer]


@dataclass
class ServerPool:
    """At most `at_once` servers. Where another one is wanted, the one that was wanted longest ago ends first."""

    at_once: int
    _running: dict[str, _Running] = field(default_factory=dict)  # by digest; wanted last comes last
    _changing: RLock = field(default_factory=RLock)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(thread_name_prefix="vllm")
    )

    def server(self, digest: str, make: Make, log: Log) -> VllmServer:
        """The server of a checkpoint, started if it does not run. Raises PolicyFault if it cannot be started."""
        began = time.monotonic()
        with self._changing:
            ahead = self._running.pop(digest, None)
            known = self._running[digest] = ahead or self._start(digest, make, log)
        waits = not known.ready.done()
        try:
            server = known.ready.result()
        except PolicyFault as fault:
            self._end(digest)
            if not ahead:
                raise
            log(f"the server that was started ahead has failed, and is started once more: {fault}")
            return self.server(digest, make, log)
        if waits:
            log(f"vLLM is ready after {time.monotonic() - began:.0f} s")
        return server

    def start_ahead(self, digest: str, make: Make, log: Log) -> None:
        """Start the server of a checkpoint that will be wanted soon, and do not wait for it."""
        with self._changing:
            if digest not in self._running:
                self._running[digest] = self._start(digest, make, log)

    def make_room(self) -> None:
        """End all servers before another model is loaded, unless several may run."""
        if self.at_once == 1:
            self.close()

    def close(self) -> None:
        """End all servers."""
        for digest in list(self._running):
            self._end(digest)

    def _start(self, digest: str, make: Make, log: Log) -> _Running:
        while len(self._running) >= self.at_once:
            self._end(next(iter(self._running)))
        server = make()
        log(f"starting vLLM for checkpoint {digest[:16]}; its log: {server.log}")
        return _Running(server, self._threads.submit(server.start))

    def _end(self, digest: str) -> None:
        with self._changing:
            if ended := self._running.pop(digest, None):
                ended.server.close()
                ended.ready.exception()  # a start that was going on has ended


_LASTING: ContextVar[ServerPool | None] = ContextVar("lasting_servers", default=None)


def lasting_servers() -> ServerPool | None:
    """The pool whose servers outlive a stage, in a run of several stages."""
    return _LASTING.get()


@contextmanager
def servers_last(at_once: int) -> Iterator[None]:
    """Servers that are started meanwhile outlive the stages that started them, and end here."""
    pool = ServerPool(at_once)
    token = _LASTING.set(pool)
    try:
        yield
    finally:
        _LASTING.reset(token)
        pool.close()
