"""What the formats of preference pairs share."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from dataclasses import replace

from formats.audit import Audit
from formats.rows.conversation import PairRow
from formats.rows.pairs import Pairs
from formats.targets.target import Target, Weight


class PairTarget(Target[PairRow], ABC):
    """A format of preference pairs."""

    source = Pairs
    weight = Weight("none", "pairs have no weights")


class OneTurnPairTarget(PairTarget, ABC):
    """A format whose sides are one message each: longer sides are cut to their first turn."""

    limits = ("A side is one message: of a repair only its first turn, the reflection, is carried.",)

    def prepared(self, row: PairRow, audit: Audit) -> Iterator[PairRow]:
        cut = replace(row, chosen=row.chosen[:1], rejected=row.rejected[:1])
        if cut.chosen[0].content == cut.rejected[0].content:
            audit.drop("both sides begin with the same turn, and the format has one turn a side")
            return
        if len(row.chosen) > 1 or len(row.rejected) > 1:
            audit.change("sides of several turns cut to their first turn")
        yield cut
