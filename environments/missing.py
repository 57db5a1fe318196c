"""What a world does not provide: told before work starts, with what it costs, or refused."""

from __future__ import annotations

from environments import capabilities as can
from environments.base import EnvironmentFault
from environments.complete import CompleteWorld
from steca.vocabulary import PromptStyle

COSTS: tuple[tuple[type, str], ...] = (
    (
        can.Snapshots,
        "no snapshots: a rollout plays the history of its turn again in another environment, and answers must be equal",
    ),
    (
        can.Planner,
        "no planner: repairs are the expert's remaining turns, or the expert's way on, if it has one",
    ),
    (can.Reflects, "no reflections of its own: calibration.reflector template writes general sentences"),
)
"""Capabilities whose absence costs something in every run."""


def missing(world: CompleteWorld) -> list[str]:
    """One line for each capability that the world lacks and a run would use."""
    lines = [f"world {world.name} has {cost}" for capability, cost in COSTS if not world.can(capability)]
    if not world.can(can.Expert):
        lines.append(
            f"world {world.name} has no expert: only tasks with a recorded run are demonstrated and explored, and only "
            "test tasks with one have forced deviations"
        )
    return lines


def refuse_what_it_cannot(world: CompleteWorld, prompt: PromptStyle, constrained: bool) -> None:
    """Raises EnvironmentFault for a world without demonstrations, and for settings that need what it does not have."""
    if not (world.can(can.Expert) or world.can(can.Recorded) or world.recordings):
        raise EnvironmentFault(
            f"world {world.name} has no demonstrations: give its environments expert_turn(first_observation, steps), "
            "or the world demonstration(task), or name a file of recorded runs in environment.demonstrations"
        )
    if constrained and not world.can(can.AdmitsActions):
        raise EnvironmentFault(
            f"policy.constrain is admissible, but the environments of world {world.name} have no admissible_actions(): "
            "set policy.constrain: none"
        )
    if prompt == "one_shot" and not world.can(can.Briefs):
        raise EnvironmentFault(
            f"policy.prompt is one_shot, but world {world.name} has no worked example (briefing): set policy.prompt: "
            "react"
        )
