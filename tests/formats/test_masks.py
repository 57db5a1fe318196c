"""For every message of every example, each format's reader trains on what the factory trains on, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from formats.faults import FormatFault
from formats.rows.examples import Examples
from formats.rows.pairs import Pairs
from formats.targets.context import Context
from formats.targets.registry import TARGETS, target_called
from formats.writing.parts import mask_fault
from models.training.examples import Example
from tests.support.exported_run import MadeUp, exported_run
from tests.support.exports import exported, lineage, said, written

EXAMPLES = {name: target for name, target in TARGETS.items() if issubclass(target.source, Examples)}
MASKING = [name for name, target in EXAMPLES.items() if not target.contexts]
TRAINING_ALL = [name for name, target in EXAMPLES.items() if target.contexts]
PAIRS = [name for name, target in TARGETS.items() if target.source is Pairs]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return exported_run(tmp_path_factory.mktemp("made") / "data")


def rows_of(out: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(id of the example, its row)."""
    for row, link in zip(written(out), lineage(out), strict=True):
        yield link["example_id"], row


def factory_mask(example: Example) -> list[tuple[str, bool]]:
    """(text, whether the factory trains on it) of each message up to the last target."""
    targets = iter(example.targets)
    mask = [(m["content"], m["role"] == "assistant" and next(targets)) for m in example.messages]
    while not mask[-1][1]:
        mask.pop()
    return mask


@pytest.mark.parametrize("name", MASKING)
def test_a_format_that_masks_trains_on_what_the_factory_trains_on(
    made: MadeUp, tmp_path: Path, name: str
) -> None:
    """On all sets: D_c, D_e, D_s and D_0. The examples come from the factory's own function and rows."""
    exported(made, tmp_path / "out", name)
    wanted = made.trained_on()
    found = dict(rows_of(tmp_path / "out"))
    without = (
        {row.example_id for row in made.examples if row.dataset == "expert"}
        if name == "steca-authors"
        else set()
    )
    assert found.keys() == wanted.keys() - without  # plain expert runs have no contrast
    for example_id, row in found.items():
        assert masked(name, row) == factory_mask(wanted[example_id])


def masked(name: str, row: dict[str, Any]) -> list[tuple[str, bool]]:
    """(text, whether the format trains on it) of each message of a written row. What follows the messages that
    `trained` speaks of is not trained on."""
    trained = target_called(name).trained(row)
    return list(zip([text for _, text in said(row)][: len(trained)], trained, strict=True))


def deviated(made: MadeUp) -> str:
    """The example of D_c."""
    return next(row.example_id for row in made.examples if row.dataset == "calibrated")


@pytest.mark.parametrize("name", MASKING)
def test_the_deviated_turn_is_there_and_not_trained_on(made: MadeUp, tmp_path: Path, name: str) -> None:
    exported(made, tmp_path / "out", name, sets=("calibrated",))
    [(_, row)] = rows_of(tmp_path / "out")
    trained = dict(masked(name, row))
    assert trained["Thought: I go to shelf.\nAction: go to shelf"] is False
    assert trained["Thought: I open fridge.\nAction: open fridge"] is True


@pytest.mark.parametrize("name", TRAINING_ALL)
def test_a_format_that_trains_on_every_turn_refuses_what_must_not_be_trained_on(
    made: MadeUp, tmp_path: Path, name: str
) -> None:
    with pytest.raises(FormatFault, match=r"1 of calibrated and 1 of expert_suffix .* --context fold"):
        exported(made, tmp_path / "out", name)
    assert not list(tmp_path.iterdir())
    report = exported(made, tmp_path / "out", name, sets=("expert", "explored_success"))
    assert report.audit.rows == 2


@pytest.mark.parametrize("name", TRAINING_ALL)
@pytest.mark.parametrize("context", ["fold", "drop", "split"])
def test_no_way_round_it_trains_on_the_context(
    made: MadeUp, tmp_path: Path, name: str, context: Context
) -> None:
    """Every turn that is trained on is a target of its example; split has each exactly once."""
    if context not in TARGETS[name].contexts:
        with pytest.raises(FormatFault, match=f"--context {context} is not for {name}"):
            exported(made, tmp_path / "out", name, context)
        return
    report = exported(made, tmp_path / "out", name, context)
    target, wanted = target_called(name, context), made.trained_on()
    trained: dict[str, list[str]] = {}
    for example_id, row in rows_of(tmp_path / "out"):
        texts = [text for _, text in said(row)]
        trained.setdefault(example_id, []).extend(
            text for text, is_trained in zip(texts, target.trained(row), strict=True) if is_trained
        )
    for example_id, texts in trained.items():
        assert texts == [text for text, is_target in factory_mask(wanted[example_id]) if is_target]
    assert (deviated(made) in trained) == (context != "drop")
    assert sum(report.audit.dropped.values()) == (2 + 1 if context == "drop" else 1)  # and the test task
    assert sum(report.audit.changed.values()) == {"drop": 0, "fold": 2, "split": 6}[context]


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_train_on_the_sides_only(made: MadeUp, tmp_path: Path, name: str) -> None:
    """The pair of the repair: the deviated turn is in the prompt of both."""
    exported(made, tmp_path / "out", name)
    [row] = written(tmp_path / "out")
    target = target_called(name)
    texts = [text for _, text in said(row)]
    if "rejected_messages" in row:  # both sides have the prompt, and `trained` speaks of it once
        texts = [text for _, text in said([row["chosen_messages"], row["rejected_messages"][5:]])]
    trained = [text for text, on in zip(texts, target.trained(row), strict=True) if on]
    actions = [text.partition("Action: ")[2] for text in trained if "Action: " in text]
    whole = ["open fridge", "take egg", "go to bed", "go to sofa"]
    assert actions in (whole, ["open fridge", "go to bed"])
    assert ("It is open." in trained) == target.trains_observations


@pytest.mark.parametrize("name", MASKING)
def test_a_row_that_trains_on_another_turn_would_be_noticed(made: MadeUp, tmp_path: Path, name: str) -> None:
    """The control: every turn of the agent is marked, the deviated one too."""
    exported(made, tmp_path / "out", name, sets=("calibrated",))
    [(_, row)] = rows_of(tmp_path / "out")
    mask = [on for _, on in factory_mask(made.trained_on()[deviated(made)])]
    roles = ["assistant" if role in ("assistant", "gpt") else "user" for role, _ in said(row)][: len(mask)]
    target = target_called(name)
    assert mask_fault(roles, mask, target.trained(row), False) is None
    fault = mask_fault(roles, mask, target.trained(corrupted(row)), False)
    assert fault is not None
    assert "message 1 (assistant) is context only" in fault


def corrupted(part: Any) -> Any:
    """A row in which every turn of the agent is marked to be trained on."""
    if isinstance(part, list):
        return [corrupted(one) for one in part]
    if not isinstance(part, dict):
        return part
    rest = next((name for name in ("completion", "chosen") if name in part), None)
    if "prompt" in part and rest:
        return {**part, "prompt": part["prompt"][:1], rest: [*part["prompt"][1:], *part[rest]]}
    flags = {"weight": 1, "loss": True, "loss_weight": 1.0, "train": True, "trained": True}
    agent = part.get("role", part.get("from")) in ("assistant", "gpt")
    return {key: flags[key] if key in flags and agent else corrupted(value) for key, value in part.items()}


@pytest.mark.parametrize(
    ("roles", "wanted", "trained", "fault"),
    [
        ("ua", [False, True], [False, True], None),
        ("ua", [False, True], [False, False], "message 1 (assistant) is a target"),
        ("uaua", [False, False, False, True], [False, True, False, True], "message 1 (assistant) is context"),
        ("ua", [False, True], [True, True], "message 0 (user) is context"),
        ("ua", [False, True], [False], "2 messages, but the format has 1"),
        ("ua", [False, False], [False, False], "no message is trained on"),
    ],
)
def test_masks_are_compared_message_by_message(
    roles: str, wanted: list[bool], trained: list[bool], fault: str | None
) -> None:
    names = [{"u": "user", "a": "assistant"}[role] for role in roles]
    found = mask_fault(names, wanted, trained, False)
    assert (found is None) == (fault is None)
    assert fault is None or str(found).startswith(fault)
    assert mask_fault(["user", "assistant"], [False, True], [True, True], True) is None
