"""What a row says of itself: whose run it is, turns that are left out of the loss, and values of steps.

A run with a turn that must not be trained on is no demonstration: in D_c, that turn is the deviated one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from environments.recorded.forms import ROLES, NotARun, is_agent
from steca.vocabulary import DatasetName, TrajectoryKind

LEFT_OUT: Mapping[str, tuple[Any, ...]] = {
    "loss": (False, 0),
    "train": (False, 0),
    "trained": (False, 0),
    "weight": (0,),
    "loss_weight": (0,),
    "is_copied_context": (True,),
}
"""Fields of a message or step, and the values that leave it out of the loss: AgentTraj, axolotl, our own
parquet, OpenAI, LLaMA-Factory, ATIF."""
OTHER_KINDS = frozenset(get_args(TrajectoryKind)) - {"expert"}
OTHER_SETS = frozenset(get_args(DatasetName)) - {"expert"}
VALUES = ("reward", "step_reward", "advantage", "score", "verdict", "value", "q_value", "logprobs")


def refuse_other_kinds(row: Mapping[str, Any]) -> None:
    """Raises NotARun for a trajectory or training example of this factory that says it is not the expert's. A policy's
    run would be taught as the expert's, even if it reaches the goal."""
    dataset = row.get("dataset")
    if isinstance(dataset, str) and dataset in OTHER_SETS:
        raise NotARun(f"is a training example of the set {dataset!r}, and not a demonstration of the expert")
    for place in (row, row.get("metadata"), row.get("extra")):
        kind = place.get("kind") if isinstance(place, Mapping) else None
        if isinstance(kind, str) and kind in OTHER_KINDS:
            raise NotARun(f"is a run of the kind {kind!r}, and not the expert's")


def refuse_untrained(row: Mapping[str, Any], turns: int) -> None:
    """Raises NotARun if one of the last `turns` messages of the agent (those before are an instruction and its "OK") is
    left out of the loss."""
    said = list(_agents(row))
    for number, message in enumerate(said[len(said) - turns :], start=1):
        for field, values in LEFT_OUT.items():
            if field in message and message[field] is not None and message[field] in values:
                raise NotARun(
                    f"turn {number} is left out of the loss ({field}: {str(message[field]).lower()}): it is a "
                    "calibrated or partial example, and not an expert's run"
                )
    context = row.get("prompt")
    if isinstance(context, list) and any(
        _is_agent(message, role) for message in context for role in ROLES.values()
    ):
        raise NotARun("has turns of the agent in its prompt: it is a part of a run, and not an expert's run")


def has_values(row: Mapping[str, Any]) -> bool:
    """Whether a turn comes with a reward, a value or a verdict. They are not used: step rewards are estimated anew."""
    return any(
        field in place and not (field == "value" and "from" in message)
        for message in _agents(row)
        for place in (message, message.get("extra"), message.get("metrics"))
        if isinstance(place, Mapping)
        for field in VALUES
    )


def _agents(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name, role in ROLES.items():
        if isinstance(messages := row.get(name), Sequence) and not isinstance(messages, str):
            yield from (message for message in messages if _is_agent(message, role))


def _is_agent(message: Any, role: str) -> bool:
    return isinstance(message, Mapping) and is_agent(message.get(role))
