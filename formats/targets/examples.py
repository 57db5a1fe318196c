"""What the formats of weighted examples share."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from formats.audit import Audit
from formats.rows.conversation import ChatMessage, ExampleRow
from formats.rows.examples import Examples
from formats.targets.target import Target


class ExampleTarget(Target[ExampleRow], ABC):
    """A format of training examples."""

    source = Examples

    def prepared(self, row: ExampleRow, audit: Audit) -> Iterator[ExampleRow]:
        if not row.weight and self.weight.kind == "lost":
            audit.drop("weight 0, and the format carries no weights: it would count like any other")
        elif self.context == "split":  # all of them: the reader then trains on the last turn of every row
            audit.change("split into one row a target turn")
            yield from split(row)
        elif not self.contexts or not row.has_untrained_turns:
            yield row
        elif self.context == "fold":
            audit.change("context turns folded into the first user message")
            yield folded(row)
        else:
            audit.drop("its context has turns of the agent that the format would train on (--context drop)")


def folded(row: ExampleRow) -> ExampleRow:
    """The same with everything before the first target in one user message. The turns keep their text; who said each is
    written before it."""
    first = row.first_target
    start, *others = row.messages[:first]
    text = start.content + "".join(f"\n\n[{m.role}]\n{m.content}" for m in others)
    return replace(row, messages=(ChatMessage("user", text), *row.messages[first:]))


def split(row: ExampleRow) -> Iterator[ExampleRow]:
    """One row for each target turn: the conversation up to it, with this turn as the only target."""
    for last, wanted in enumerate(row.mask):
        if wanted:
            before = tuple(replace(message, target=False) for message in row.messages[:last])
            yield replace(row, messages=(*before, row.messages[last]))


class MaskingTarget(ExampleTarget, ABC):
    """A format that says for each message whether it is trained on."""

    contexts: ClassVar = ()
