"""A small made-up run with every training set, hostile texts and a test task among its examples, to be exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.schema import DatasetConfig, FactoryConfig
from environments.registry import open_world
from models.training.examples import Example
from rollouts.stages.assemble import assemble, training_inputs
from steca.vocabulary import Origin, PromptStyle
from storage.records import (
    CalibrationRecord,
    DeviationRecord,
    EvaluationRecord,
    Record,
    StepRecord,
    TaskRecord,
    TrainingExampleRecord,
    TrajectoryRecord,
)
from storage.store import Store
from tests.support.made_up_run import made_up_run

RUN = "made-up"
HOSTILE = (
    "<script>alert(1)</script><b>&amp;</b> \x1b[31mred\x1b[0m \x00 NUL \u202eevil\u202c "
    "\u2028line\u2029para\x85nel \ufeff"
    'bom "quotes" \\ back\\slash \\ud800 {"json": [1, 2} \r\n ```\n<|im_end|><tool_call> \u00e9\U0001f600 \x7f <|end|>'
)
"""Markup, terminal codes, NUL, reordering, separators of lines, broken JSON, marks of chat templates, letters of all
planes. A lone surrogate is no UTF-8: no store can hold it (tests/formats/test_hostile.py)."""
LONG = "x" * 1_000_000 + "\u00e9"
Turn = tuple[Origin, str, str]
"""Who wrote it, the action, the observation after it."""


@dataclass(frozen=True)
class MadeUp:
    """The run's store, and all rows that it holds."""

    store: Store
    records: list[Record]
    examples: list[TrainingExampleRecord]

    def trained_on(self, prompt: PromptStyle = "plain") -> dict[str, Example]:
        """By example, what the factory trains on: its own function, from the rows and not from the store."""
        world = open_world(FactoryConfig().environment)
        try:
            inputs = training_inputs(world, self.examples, self.records, prompt)
        finally:
            world.close()
        return {row.example_id: example for row, example in zip(self.examples, inputs, strict=True)}


def task(name: str, split: str = "train") -> TaskRecord:
    return TaskRecord(
        task_id=name,
        world="alfworld-generated",
        split=split,
        task_type="heat",
        instruction=f"do {name}",
        payload="{}",
    )


def run(
    name: str, task_id: str, kind: Any, turns: Sequence[Turn], outcome: float, prefix: int = 0
) -> list[Record]:
    """The rows of a trajectory."""
    head = TrajectoryRecord(
        trajectory_id=name, task_id=task_id, kind=kind, checkpoint=None if kind == "expert" else "c0",
        prefix_steps=prefix, first_observation=f"You are in a room. Your task: {task_id}.", n_steps=len(turns),
        outcome=outcome, success=outcome >= 1, end_reason="done" if outcome else "step_cap", invalid_actions=0,
    )  # fmt: skip
    return [head, *(_step(name, index, *turn) for index, turn in enumerate(turns))]


def _step(trajectory_id: str, index: int, origin: Origin, action: str, observation: str) -> StepRecord:
    text = f"Thought: I {action}.\nAction: {action}"
    return StepRecord(
        trajectory_id=trajectory_id, step_index=index, origin=origin, text=text, thought=f"I {action}.",
        action=action, observation=observation, valid=True, tokens=5,
    )  # fmt: skip


def deviation(
    name: str, task_id: str, expert: str, explored: str, step: int, verdict: Any
) -> DeviationRecord:
    return DeviationRecord(
        deviation_id=name, task_id=task_id, expert_trajectory_id=expert, explored_trajectory_id=explored,
        step_index=step, expert_action="open fridge", explored_action="go to shelf", explored_success=False,
        similarity=0.2, continues=True, reference_step_reward_id="r1", expert_step_reward_id="r2",
        explored_step_reward_id="r3", reference_reward=0.8, expert_reward=0.8, explored_reward=0.0, reference_n=5,
        expert_n=5, explored_n=5, gap=-0.8, gap_low=-1.0, gap_high=-0.2, error_rate=0.05, delta=0.0, preset="paper",
        outcome="success", verdict=verdict, rule="0.00 < 0.80", expert_is_better="yes", selected=verdict == "deviated",
    )  # fmt: skip


EXPERT: tuple[Turn, ...] = (
    ("expert", "go to fridge", "The fridge is closed."),
    ("expert", "open fridge", "It is open."),
    ("expert", "take egg", "You take it."),
)


def explored_tasks() -> list[Record]:
    """t1: deviates at step 1, and is repaired. t2: wins from scratch. t3: fails from scratch, with hostile texts."""
    off: Turn = ("policy", "go to shelf", "The shelf is empty.")
    wandering = [EXPERT[0], off, ("policy", "go to bed", "A bed."), ("policy", "go to sofa", "A sofa.")]
    repair: list[Turn] = [
        EXPERT[0], ("deviation", *off[1:]), ("repair", "open fridge", "It is open."), ("repair", "take egg", "Done."),
    ]  # fmt: skip
    won: list[Turn] = [("policy", "open fridge", "It is open."), ("policy", "take egg", "Done.")]
    bad: list[Turn] = [("expert", HOSTILE, HOSTILE), ("expert", "take egg", LONG), ("expert", LONG, HOSTILE)]
    return [
        *(task(name) for name in ("t1", "t2", "t3")),
        *run("t1-expert", "t1", "expert", EXPERT, 1.0),
        *run("t1-scratch", "t1", "explored", [off, off], 0.0),
        *run("t1-explored", "t1", "explored", wandering, 0.0, prefix=1),
        *run("t1-calibrated", "t1", "calibrated", repair, 1.0, prefix=2),
        deviation("d1", "t1", "t1-expert", "t1-explored", 1, "deviated"),
        CalibrationRecord(
            calibration_id="k1", deviation_id="d1", task_id="t1", trajectory_id="t1-calibrated", reflector="template",
            reflection="I open fridge.", required_action="open fridge", plan="expert_suffix", kept=True,
        ),
        *run("t2-expert", "t2", "expert", EXPERT, 1.0),
        *run("t2-scratch", "t2", "explored", won, 1.0),
        *run("t3-expert", "t3", "expert", bad, 1.0),
        *run("t3-scratch", "t3", "explored", [off, off], 0.0),
    ]  # fmt: skip


def tested() -> list[Record]:
    """A test task with an episode, and a training example of it, which no run makes."""
    return [
        task("held-out", "seen"),
        *run("held-out-expert", "held-out", "expert", EXPERT, 1.0),
        *run("held-out-run", "held-out", "evaluation", EXPERT[:2], 0.0),
        EvaluationRecord(
            evaluation_id="v1", checkpoint="c0", role="trained", split="seen", start="task", task_id="held-out",
            task_type="heat", trajectory_id="held-out-run", success=False, n_steps=2, invalid_actions=0,
        ),
    ]  # fmt: skip


HELD_OUT = TrainingExampleRecord(
    example_id="held-out-example", dataset="expert", task_id="held-out", trajectory_id="held-out-expert",
    target_from=0, weight=1.0,
)  # fmt: skip


def exported_run(root: Path, copies: int = 1, more: Sequence[Record] = (), **config: Any) -> MadeUp:
    """The run in a store under `root`. D_0 has `copies` expert runs. `more`: further rows of the training."""
    explored = explored_tasks()
    demonstrated: list[Record] = [task(f"t0-{n}") for n in range(copies)]
    for n in range(copies):
        demonstrated += run(f"t0-{n}-expert", f"t0-{n}", "expert", EXPERT, 1.0)
    examples = assemble(explored, demonstrated, DatasetConfig())
    made_up_run(
        root,
        {
            ("demonstrate", 0): demonstrated,
            ("explore", 1): explored,
            ("train", 1): [*examples, HELD_OUT, *more],
            ("evaluate", 1): tested(),
        },
        **config,
    )
    return MadeUp(Store(root), [*explored, *demonstrated], examples)
