"""`steca world check`: what the checks of a world found, as a table."""

from __future__ import annotations

from rich.table import Table

from cli.terminal.console import console, say, text
from configs.schema import FactoryConfig
from environments.registry import open_world
from flows.wording import counted
from rollouts.play import EpisodeSettings
from rollouts.world_check.check import check_world

STYLES = {"ok": "green", "fault": "bold red", "note": "yellow", "not there": "dim"}


def print_findings(config: FactoryConfig, tasks: int) -> bool:
    """Print a table of findings. Returns whether there is no fault. Raises EnvironmentFault for no such world."""
    out, faults = console(), 0
    world = open_world(config.environment)
    table = Table("check", "state", "found", title=f"world {world.name}", title_justify="left")
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    try:
        with out.status("checking"):
            for finding in check_world(world, EpisodeSettings.of(config), tasks):
                faults += finding.state == "fault"
                state = text(finding.state, style=STYLES[finding.state])
                table.add_row(text(finding.check), state, text(finding.found, overflow="fold"))
    finally:
        world.close()
    out.print(table)
    say(out, f"{counted(faults, 'fault')}" if faults else "no fault")
    return not faults
