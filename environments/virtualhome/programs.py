"""Programs: a title, a description, and the lines of a person's way to do it."""

from __future__ import annotations

from dataclasses import dataclass

from environments.virtualhome.commands import Command, parse_line


@dataclass(frozen=True, slots=True)
class Program:
    title: str
    description: str
    commands: tuple[Command, ...]

    @property
    def instruction(self) -> str:
        return f"{self.title}: {self.description}" if self.description else self.title

    @property
    def lines(self) -> str:
        """What the program does, in one spelling: equal programs have equal lines."""
        return "\n".join(command.line for command in self.commands)


def parse_program(text: str) -> Program:
    """The text of a program file: title, description, and from the first "[" on one command a line. Raises ValueError
    with the reason for anything else."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    lines = [line for line in lines if line]
    first = next((index for index, line in enumerate(lines) if line.startswith("[")), len(lines))
    if first == 0 or first == len(lines):
        raise ValueError("it has no title" if lines and first == 0 else "it has no commands")
    commands = tuple(parse_line(line) for line in lines[first:])
    return Program(lines[0], " ".join(lines[1:first]), commands)
