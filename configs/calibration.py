"""Settings of the repairs, and of the language model that judges turns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from configs.section import Positive, Section
from steca.vocabulary import RepairChoice


class CalibrationConfig(Section):
    """Which deviations are repaired, the reflection, and the repair that is checked by executing it."""

    model_config = ConfigDict(title="Calibration")
    choose: RepairChoice = Field(
        "verdict",
        description="verdict: repair the deviations that the rule selects. gap: the turns with the largest "
        "expected drop. value: the turns where the policy succeeds least even after the expert's turn. "
        "random: turns drawn at random, as a control.",
    )
    repairs: Positive | None = Field(
        None,
        description="How many turns of a round to repair; of the rule's deviations, those with the largest "
        "expected drop. Deviations that no rollouts compare are drawn at random. Empty: as many as the rule selects.",
    )
    reflector: Literal["template", "llm", "policy"] = Field(
        "template",
        description="Who writes the reflection: the world's template, a language model, or the policy that explored.",
    )
    model: str = Field(
        "",
        description="reflector llm: the model's name on the server in execution.reflector, e.g. gpt-4o. "
        "Stored replies are found by this name, whatever the server.",
    )
    temperature: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="reflector llm: empty: the server's default (some models accept no temperature). "
        "reflector policy: empty: greedy.",
    )
    max_tokens: Positive = Field(
        1024, description="reflectors llm and policy: maximum length of a reply, in tokens."
    )
    attempts: Positive = Field(
        3, description="reflectors llm and policy: maximum requests until a reply is valid."
    )
    replan: bool = Field(True, description="Let the expert plan again if its recorded turns no longer apply.")

    @model_validator(mode="after")
    def _model_named(self) -> CalibrationConfig:
        if self.reflector == "llm" and not self.model:
            raise ValueError("reflector is llm: name its model, e.g. model: gpt-4o")
        return self


class JudgeConfig(Section):
    """The language model that says GOOD or BAD of explored turns, on the server in execution.reflector."""

    model_config = ConfigDict(title="Judge")
    ask: Literal["needed", "always"] = Field(
        "needed",
        description="needed: judge the turns only under deviation.preset judge. always: beside any other preset too, "
        "so that the view judge_agreement can compare judgements with rollouts.",
    )
    model: str = Field(
        "",
        description="The model's name, e.g. gpt-4o. Stored replies are found by this name, whatever the server.",
    )
    temperature: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Empty: the server's default (some models accept no temperature)."
    )
    max_tokens: Positive = Field(1024, description="Maximum length of a reply, in tokens.")
    attempts: Positive = Field(3, description="Maximum requests until a reply is valid.")
