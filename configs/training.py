"""Settings of a training."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from configs.section import Positive, Rate, Section
from steca.preferences import PUBLISHED, PreferenceLoss, published_loss
from steca.vocabulary import ChosenTurn, IprPreset, ReferenceModel, TrainingMethod


class LoraConfig(Section):
    """Low-rank adapters (peft). They are merged into the model at the end."""

    model_config = ConfigDict(title="LoRA")
    rank: Positive = Field(16, description="Rank of the adapters.")
    alpha: Positive = Field(32, description="Scale: adapters are multiplied by alpha / rank.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="Dropout before the adapters.")
    targets: tuple[str, ...] | Literal["all-linear"] = Field(
        "all-linear", description="Names of the modules that get adapters."
    )


class TrainingConfig(Section):
    """One training, of `steps` if given, else of `epochs`."""

    model_config = ConfigDict(title="Training")
    epochs: Annotated[float, Field(gt=0)] = Field(3.0, description="Passes over the training set.")
    steps: Positive | None = Field(None, description="Optimizer steps. Overrides epochs.")
    batch_size: Positive = Field(8, description="Trajectories, or pairs, per optimizer step.")
    gradient_accumulation: Positive = Field(
        1, description="Parts of a batch that are processed one after the other, to save memory."
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(3e-3, description="Highest learning rate (AdamW).")
    schedule: Literal["cosine", "constant_with_warmup", "linear"] = Field(
        "cosine", description="Course of the learning rate after its warm-up."
    )
    warmup_ratio: Rate = Field(
        0.03, description="Share of the steps in which the learning rate rises to its highest value."
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="Weight decay (AdamW).")
    loss: Literal["sum", "mean"] = Field(
        "sum", description="Sum or mean over the target tokens of a trajectory. The paper uses sum."
    )
    max_tokens: Positive = Field(2048, description="Maximum length of an example. A longer one is an error.")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision of the computation. Trained weights are kept in float32."
    )
    gradient_checkpointing: bool = Field(False, description="Save memory, for a third more time.")
    lora: LoraConfig | None = Field(
        None, description="Low-rank adapters, merged at the end. Empty: train all weights."
    )

    @model_validator(mode="after")
    def _parts_divide(self) -> TrainingConfig:
        if self.batch_size % self.gradient_accumulation:
            raise ValueError("batch_size must be a multiple of gradient_accumulation")
        return self


class PreferenceMethodConfig(Section):
    """Training on preference pairs. Empty: the published value of the method (`PUBLISHED`, steca/preferences.py)."""

    model_config = ConfigDict(title="Preferences")
    beta: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Strength of the penalty for leaving the reference model."
    )
    sft_weight: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Weight of the chosen side's negative log-likelihood in the loss."
    )
    reference: ReferenceModel | None = Field(
        None,
        description="The reference model. current: the model that the training starts from, another one in each round. "
        "warmup: the warm-up model.",
    )
    margin: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="method ipr: by how much one step reward must exceed the other."
    )
    preset: IprPreset | None = Field(
        None,
        description="method ipr: paper, or release: as the authors' code, where a shorter suffix of the agent can win.",
    )
    chosen: ChosenTurn | None = Field(
        None,
        description="method step_dpo: prefer the first turn of a successful rollout, or the expert's turn.",
    )


class ReinforcedTrainingConfig(TrainingConfig):
    """The training of a round: how it learns, and what it starts from."""

    model_config = ConfigDict(title="Reinforced training")
    method: TrainingMethod = Field(
        "likelihood",
        description="likelihood: weighted likelihood of the training sets. The others learn from preference pairs. "
        "dpo: the targets and contrasts of D_c and D_s. eto, ipr, step_dpo: as published.",
    )
    start: Literal["explorer", "base"] = Field(
        "explorer",
        description="explorer: the policy that explored. base: the model that the warm-up started from.",
    )
    preferences: PreferenceMethodConfig = Field(default_factory=PreferenceMethodConfig)

    @property
    def optimization(self) -> TrainingConfig:
        """The settings that every training has."""
        return TrainingConfig.model_validate(self.model_dump(include=set(TrainingConfig.model_fields)))

    def preference_loss(self, round: int) -> PreferenceLoss:
        """The loss of a method that learns from preferences: the settings, else the published values."""
        assert self.method != "likelihood", "has no preference loss"
        given = {name: getattr(self.preferences, name) for name in ("beta", "sft_weight")}
        return replace(
            published_loss(self.method, round),
            **{name: value for name, value in given.items() if value is not None},
        )

    @property
    def reference_model(self) -> ReferenceModel:
        """The reference model of a method that learns from preferences: the setting, else the published one."""
        assert self.method != "likelihood", "has no reference model"
        return self.preferences.reference or PUBLISHED[self.method].reference
