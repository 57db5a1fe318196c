"""Traces, to be looked at: ATIF 1.8 and the Hub's session traces.

ATIF: steps that were copied from another trajectory have is_copied_context, and "consumers must filter such steps out
of SFT training data" (package atif, Step). Values and verdicts are no fields of it and go to `extra`.
Session Trace Simple Format: one file a session, a header and a line a message (huggingface.co/docs/hub).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from formats.rows.conversation import ChatMessage
from formats.rows.traces import TraceRow, Traces
from formats.targets.target import Target, Weight
from steca.action_formats import call_of
from storage.runs import package_version

NAME = "steca-factory"
NOT_TRAINED = Weight("none", "trajectories have no weights")
ABOUT = (
    "kind", "task_id", "task_type", "split", "instruction", "world", "outcome", "success", "end_reason", "progress",
    "prefix_steps", "calibration_id", "deviation_id", "reflector",
)  # fmt: skip


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class Atif(Target[TraceRow]):
    name = "atif"
    title = "ATIF 1.8: one trajectory a line"
    reader = "atif 1.8.0"
    source = Traces
    weight = NOT_TRAINED
    usage = """\
from atif import Trajectory

traces = [Trajectory.model_validate_json(line) for line in open("FOLDER/data/train-00000.jsonl", encoding="utf-8")]"""
    limits = (
        "Failed runs and test episodes are among the trajectories: `extra` has outcome, kind and split.",
        "A line of the file is one document; tools that want a document a file need it split.",
    )

    def row(self, row: TraceRow) -> dict[str, Any]:
        head, (start, *_) = row.about, row.messages
        tokens = sum(
            turn["tokens"] for turn, m in zip(row.turns, row.messages[1::2], strict=True) if m.target
        )
        return {
            "schema_version": "ATIF-v1.8",
            "session_id": head["task_id"],
            "trajectory_id": row.id,
            "agent": {
                "name": NAME,
                "version": package_version(),
                "model_name": head["checkpoint"] or "expert",
            },
            "steps": [{"step_id": 1, "source": "user", "message": start.content}, *_atif_steps(row)],
            "final_metrics": {"total_completion_tokens": tokens, "total_steps": len(row.turns) + 1},
            "extra": {name: head[name] for name in ABOUT},
        }

    def trained(self, written: dict[str, Any]) -> list[bool]:
        """By messages: a step of the agent is its turn, and the observation that follows unless it is the last."""
        agent = [step for step in written["steps"] if step["source"] == "agent"]
        mask = [False]
        for step in agent:
            mask += [not step.get("is_copied_context"), False]
        return mask[: 2 * len(agent) or 1]


def _atif_steps(row: TraceRow) -> Iterator[dict[str, Any]]:
    turns = row.messages[1::2]
    answers = [*(message.content for message in row.messages[2::2]), row.last_observation][: len(turns)]
    for number, (message, answer, known) in enumerate(zip(turns, answers, row.turns, strict=True)):
        yield {  # all fields in every step: readers that infer columns need the same ones everywhere
            "step_id": number + 2,
            "source": "agent",
            "message": message.content,
            "reasoning_content": known["thinking"] or None,
            **_action(message, answer, f"{row.id}-{number}"),
            "metrics": {"completion_tokens": known["tokens"] or None},
            "is_copied_context": not message.target,
            "extra": _extra(message, known),
        }


def _action(message: ChatMessage, answer: str, identity: str) -> dict[str, Any]:
    """The action as a call, and the world's answer to it; a turn without an action has no call."""
    if message.step is None or not message.step.action:
        return {"tool_calls": None, "observation": {"results": [{"source_call_id": None, "content": answer}]}}
    call = call_of(message.step.action)
    return {
        "tool_calls": [
            {"tool_call_id": identity, "function_name": call["name"], "arguments": call["arguments"]}
        ],
        "observation": {"results": [{"source_call_id": identity, "content": answer}]},
    }


def _extra(message: ChatMessage, known: Mapping[str, Any]) -> dict[str, Any]:
    step = message.step
    own = {} if step is None else {"origin": step.origin, "action": step.action, "valid": step.valid}
    values = {name: value for name, value in known.items() if name not in ("tokens", "thinking")}
    return {"step_index": message.step_index, **own, **values}


class HfTraces(Target[TraceRow]):
    name = "hf-traces"
    title = "Hugging Face session traces: one file a trajectory"
    reader = "Session Trace Simple Format of the Hugging Face Hub"
    source = Traces
    weight = NOT_TRAINED
    form = "sessions"
    masks = False
    usage = "Upload the folder to the Hub: its viewer shows each file as a session."
    limits = (
        "The format has no mask: do not train on it. Copied and deviated turns have `copied` true beside the message.",
    )

    def row(self, row: TraceRow) -> dict[str, Any]:
        head = row.about
        session = {
            "type": "session",
            "harness": NAME,
            "id": row.id,
            "name": head["instruction"] or head["task_id"],
            "model": head["checkpoint"] or "expert",
            **_known({name: head[name] for name in ABOUT}),
        }
        return {"id": row.id, "lines": [session, *_lines(row)]}


def _lines(row: TraceRow) -> Iterator[dict[str, Any]]:
    for place, message in enumerate(row.messages):
        line: dict[str, Any] = {"type": "message", "message": message.chat}
        if message.role == "assistant":
            known = _known(_extra(message, row.turns[place // 2]))
            line |= {"copied": not message.target, "steca": known}
        yield line
    if row.turns:
        yield {"type": "message", "message": {"role": "user", "content": row.last_observation}}
