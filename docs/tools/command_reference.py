"""Every command with its arguments and options, from the command line's own definition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from cli.main import app
from docs.tools.markdown import code, table, text

GROUP: Any = typer.main.get_command(app)
"""The group of commands, as the installed typer's own click makes it."""
HEAD = """# Commands

Every command with its arguments and options, as `steca COMMAND --help` says it. [running.md](../running.md) explains
them with examples.
"""


def all_commands() -> Iterator[tuple[str, Any]]:
    """Every command by its whole name, e.g. `world new`, in the order of `steca --help`."""
    for name, command in GROUP.commands.items():
        if inner := getattr(command, "commands", None):
            yield from ((f"{name} {each}", one) for each, one in inner.items())
        else:
            yield name, command


def commands_page() -> str:
    """The page: all commands by the panels of `steca --help`, then each by itself."""
    every = list(all_commands())
    links = [
        (f"[`steca {name}`](#steca-{name.replace(' ', '-')})", first_line(command)) for name, command in every
    ]
    parts = [HEAD, table(("command", "what it does"), links) + "\n"]
    return "\n".join(parts + [_part(name, command) for name, command in every])


def first_line(command: Any) -> str:
    """What a command does, in its first sentence."""
    return text(command.help.split("\n\n")[0].partition(". ")[0].rstrip(".") + ".")


def _part(name: str, command: Any) -> str:
    context = command.make_context(f"steca {name}", [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    rows = [row for parameter in command.params if (row := _row(parameter, context))]
    options = table(("argument or option", "meaning"), rows)
    return f"## `steca {name}`\n\n{text(command.help)}\n\n```text\nsteca {name} {usage}\n```\n\n{options}\n"


def _row(parameter: Any, context: Any) -> tuple[str, str] | None:
    """Its names, and its meaning with range and default."""
    record = parameter.get_help_record(context)
    return (code(record[0]), text(record[1])) if record and not parameter.is_eager else None
