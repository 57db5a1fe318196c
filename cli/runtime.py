"""What `steca run` and `steca stage` share: taking results from the cache, and the Prefect server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cli.signals import leave_on_interrupt
from cli.terminal.console import SafeConsole, say
from configs.schema import FactoryConfig
from flows.server import environment
from flows.server.process import prefect_server
from storage.files import writing_in


def take_from_cache(
    console: SafeConsole,
    config: FactoryConfig,
    run: str = "",
    stages: Sequence[tuple[str, int]] | None = None,
) -> str | None:
    """Record a run, or some of its stages, from the cache, without Prefect. Returns its id; None where a result is
    missing in the cache."""
    from flows.runs.from_cache import run_from_cache

    done = run_from_cache(config, run, stages, partial(say, console))
    if done:
        say(console, f"every result is in the cache: nothing was computed again (run {done})")
    return done


@contextmanager
def flow_runtime(data_dir: Path, console: SafeConsole, debug: bool) -> Iterator[None]:
    """A Prefect server, its environment and a progress reporter. Raises StageFault where no server can be started."""
    check_writable(data_dir)
    leave_on_interrupt()
    say(console, "starting ...")
    with prefect_server(data_dir):
        if not debug:
            environment.quiet()
        from cli.terminal.progress import make_reporter
        from flows.reporting.progress import reporting
        from tasks.prefect_internals import own_sigterm

        with make_reporter(console) as reporter, reporting(reporter), own_sigterm():
            yield


def check_writable(data_dir: Path) -> None:
    """Raise StorageFault where nothing can be written, before an hour of work is lost."""
    root = data_dir.expanduser().resolve()
    with writing_in(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root) as probe:  # without a name: no collisions, and nothing is left
            probe.write(b"steca\n")
        (root / ".writable").unlink(missing_ok=True)  # a killed process of version 0.3.0 could leave it
