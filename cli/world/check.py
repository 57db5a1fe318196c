"""`steca world check`: what its checks find: a table on a terminal, else a line for each finding at once."""

from __future__ import annotations

import sys
import time
from collections import Counter
from threading import Event, Thread
from types import TracebackType
from typing import Self

from rich.table import Table

from cli.terminal.console import PIPE_WIDTH, SafeConsole, make_console, say, text
from configs.schema import FactoryConfig
from environments.registry import open_world
from flows.wording import counted
from rollouts.play import EpisodeSettings
from rollouts.world_check.check import check_world
from rollouts.world_check.finding import Finding
from rollouts.world_check.printed import printed_elsewhere

STYLES = {"ok": "green", "fault": "bold red", "note": "yellow", "not there": "dim"}
SLOW = 10.0
"""Without a terminal, what takes more seconds is named."""


def print_findings(config: FactoryConfig, tasks: int) -> bool:
    """Print what the checks find. Returns whether there is no fault. Raises EnvironmentFault for no such world."""
    terminal = sys.stdout.isatty()  # this very file: the world gets another standard output
    out, states = make_console(sys.stdout, None if terminal else PIPE_WIDTH), Counter[str]()
    with printed_elsewhere() as printed:
        with printed.instead():
            world = open_world(config.environment)
        shown = _Terminal(out, world.name) if out.is_terminal else _Lines(out, world.name)
        try:
            with shown:
                settings = EpisodeSettings.of(config)
                findings = check_world(world, settings, tasks, config.policy, shown.doing)
                for finding in printed.noted(findings):
                    states[finding.state] += 1
                    shown.add(finding)
        finally:
            with printed.instead():
                world.close()
    notes = f", {counted(states['note'], 'note')}" if states["note"] else ""
    say(out, f"{counted(states['fault'], 'fault') if states['fault'] else 'no fault'}{notes}")
    return not states["fault"]


class _Terminal:
    """The running check beside a spinner; at the end, or where it is interrupted, a table."""

    def __init__(self, out: SafeConsole, world: str) -> None:
        self._out = out
        self._status = out.status("checking")
        self._table = Table("check", "state", "found", title=f"world {world}", title_justify="left")
        self._table.columns[0].no_wrap = self._table.columns[1].no_wrap = True

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()
        self._out.print(self._table)

    def doing(self, what: str) -> None:
        self._status.update(text(f"checking: {what}"))

    def add(self, finding: Finding) -> None:
        state = text(finding.state, style=STYLES[finding.state])
        self._table.add_row(text(finding.check), state, text(finding.found, overflow="fold"))


class _Lines:
    """A line for each finding as soon as it is there, and one for what takes long."""

    def __init__(self, out: SafeConsole, world: str) -> None:
        self._out, self._ended, self._world = out, Event(), world
        self._doing, self._since = "", time.monotonic()

    def __enter__(self) -> Self:
        say(self._out, f"world {self._world}")
        Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def doing(self, what: str) -> None:
        self._doing, self._since = what, time.monotonic()

    def add(self, finding: Finding) -> None:
        say(self._out, f"{finding.state:<9}  {finding.check}: {finding.found}")

    def _watch(self) -> None:
        told = ""
        while not self._ended.wait(min(1.0, SLOW)):
            if self._doing != told and time.monotonic() - self._since >= SLOW:
                told = self._doing
                say(self._out, f"still checking: {told}")
