"""An explored run and the expert's run of the same task: what each did from a shared state on.

Indices, for the whole package. The paper counts turns from 1, Python from 0: the expert's turns a_1..a_T
are `expert.steps[0..T-1]`. `step` = t is the number of expert turns before the explored turn, 0 <= t < T:

    prefix         a_1..a_t          expert.steps[:t]
    reference      a_t               expert.steps[t-1]     the previous expert turn, exists for t >= 1
    expert turn    a_{t+1}           expert.steps[t]       the expert turn at the same step
    explored turn  â_{t+1}           explored.steps[t]
    continuation   â_{t+2}...        explored.steps[t+1:]
"""

from __future__ import annotations

from dataclasses import dataclass

from steca.types import Step, Trajectory, Turn


@dataclass(frozen=True, slots=True)
class Exploration:
    """A whole explored run that shares its first `step` turns with a successful expert run of the same task.

    Raises ValueError if the two runs do not fit together, or the expert's did not succeed.
    """

    expert: Trajectory
    explored: Trajectory
    step: int

    def __post_init__(self) -> None:
        fault = self._fault()
        if fault:
            raise ValueError(f"exploration of task {self.expert.task_id} at step {self.step}: {fault}")

    def _fault(self) -> str | None:
        expert, explored, step = self.expert, self.explored, self.step
        if expert.task_id != explored.task_id:
            return f"the explored run is of another task, {explored.task_id}"
        if not expert.success:
            return f"the expert run has outcome {expert.outcome}; only successful runs can be references"
        if not 0 <= step < len(expert.steps):
            return f"the expert run has {len(expert.steps)} turns, so step must be 0..{len(expert.steps) - 1}"
        if step >= len(explored.steps):
            return f"the explored run has only {len(explored.steps)} turns, so it holds no explored turn"
        if explored.actions[:step] != expert.actions[:step]:
            return "the explored run does not begin with the expert's prefix"
        return None

    @property
    def task_id(self) -> str:
        return self.expert.task_id

    @property
    def prefix(self) -> tuple[Step, ...]:
        """The expert's a_1..a_t."""
        return self.expert.steps[: self.step]

    @property
    def expert_action(self) -> str:
        """The action of a_{t+1}, with which a repair by the expert's own turns begins."""
        return self.expert.steps[self.step].action

    @property
    def explored_step(self) -> Step:
        """The executed explored turn â_{t+1}, with its observation."""
        return self.explored.steps[self.step]

    @property
    def expert_suffix(self) -> tuple[Turn, ...]:
        """The expert's turns a_{t+1}..a_T."""
        return tuple(Turn(step.thought, step.action) for step in self.expert.steps[self.step :])

    @property
    def agent_suffix(self) -> tuple[str, ...]:
        """The agent's actions from the explored turn on: the contrast of D_s."""
        return self.explored.actions[self.step :]

    @property
    def continuation(self) -> tuple[str, ...]:
        """The agent's actions after the explored turn: the contrast of D_c. May be empty."""
        return self.explored.actions[self.step + 1 :]
