"""The JSON of the STeCa authors' release (github.com/WangHanLinHenry/STeCa): one array of prompt, chosen, rejected,
deviation and reward.

Their trainer minimises reward times the negative log-likelihood of the agent's turns in `chosen`; the preference term
has beta 0 (fastchat/train/train_dpo_ours.py). `deviation` is nDTW, `reward` the weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from formats.audit import Audit
from formats.rows.contrasts import ContrastRow, Contrasts
from formats.rows.conversation import ExampleRow
from formats.targets.examples import MaskingTarget
from formats.targets.target import Weight
from formats.targets.trainers.sharegpt import NAMES


def _said(message: dict[str, str]) -> dict[str, str]:
    return {"from": NAMES[message["role"]], "value": message["content"]}


class StecaAuthors(MaskingTarget):
    name = "steca-authors"
    title = "The JSON of the STeCa authors' release"
    reader = "WangHanLinHenry/STeCa, fastchat/train/train_dpo_ours.py"
    source = Contrasts
    form = "json"
    weight = Weight("carried", "`reward` is the factor of an example's loss")
    usage = "python -m fastchat.train.train_dpo_ours --data_path FOLDER/data/train-00000.json ..."
    limits = (
        "Every row needs a contrast: plain expert runs are left out.",
        "Their trainer masks by the texts of its own conversation template, and cuts at model_max_length.",
    )

    def prepared(self, row: ExampleRow, audit: Audit) -> Iterator[ExampleRow]:
        if isinstance(row, ContrastRow) and row.contrast:
            yield row
        else:
            audit.drop("no contrast, and the format needs one (`rejected`)")

    def row(self, row: ExampleRow) -> dict[str, Any]:
        first = row.first_target
        return {
            "id": row.id,
            "prompt": [_said(m.chat) for m in row.messages[:first]],
            "chosen": [_said(m.chat) for m in row.messages[first:]],
            "rejected": [_said(m) for m in row.contrast] if isinstance(row, ContrastRow) else [],
            "deviation": row.about["distance"],
            "reward": row.weight,
        }

    def trained(self, written: dict[str, Any]) -> list[bool]:
        """Of prompt and chosen; `rejected` is not trained on."""
        return [False] * len(written["prompt"]) + [m["from"] == "gpt" for m in written["chosen"]]
