"""Every setting of a factory run, with its meaning and range.

The models are frozen and forbid unknown keys; the same models draw the parameter forms in the Prefect UI.
Settings under `execution` and `budget` say how the work is done and how far it may go, never what comes out: they are
left out of cache keys and of the id of a run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from configs.section import Count, HomePath, Positive, Section
from configs.servers import DECIDING, PriceConfig, ReflectorEndpoint, ServerConfig, allowed, options
from configs.training import TrainingConfig
from steca.vocabulary import Device, PromptStyle, RewardOutcome, TestSplit


class EnvironmentConfig(Section):
    """The world, and how an episode is wrapped."""

    model_config = ConfigDict(title="Environment")
    name: str = Field(
        "alfworld-generated", description="Registered world, e.g. alfworld-generated or alfworld."
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the world itself.")
    step_cap: Positive = Field(20, description="Steps an episode may take, counted from its very start.")
    invalid_streak: Positive = Field(5, description="Invalid actions in a row that end an episode as failed.")


class TasksConfig(Section):
    """How many tasks of which kind. Splits never share a task."""

    model_config = ConfigDict(title="Tasks")
    demonstrations: Positive = Field(300, description="Training tasks whose expert runs warm the policy up.")
    exploration: Positive = Field(300, description="Training tasks that the policy explores.")
    explore_demonstrated: bool = Field(
        False,
        description="Explore the demonstrated tasks (as the paper does) instead of other training tasks.",
    )
    validation: Count = Field(100, description="Tasks for choosing settings; never reported.")
    seen: Count = Field(150, description="Evaluation tasks in layouts known from training.")
    unseen: Count = Field(150, description="Evaluation tasks in new layouts with held-out goals.")


class SmallModelConfig(Section):
    """The small Llama trained from scratch."""

    model_config = ConfigDict(title="Small model")
    layers: Positive = 2
    hidden_size: Positive = 128
    heads: Positive = 4
    kv_heads: Positive = 2
    context: Annotated[int, Field(ge=128)] = Field(2048, description="Longest history, in tokens.")
    vocabulary: Annotated[int, Field(ge=512)] = Field(4096, description="Largest size of the tokenizer.")

    @model_validator(mode="after")
    def _heads_divide(self) -> SmallModelConfig:
        if self.hidden_size % self.heads or self.heads % self.kv_heads:
            raise ValueError("hidden_size must be a multiple of heads, and heads a multiple of kv_heads")
        return self


class PolicyConfig(Section):
    """The base model and how it is run."""

    model_config = ConfigDict(title="Policy")
    base: HomePath | None = Field(
        None,
        description="Folder of a Hugging Face causal LM to start from; empty: a small model from scratch.",
    )
    small: SmallModelConfig = Field(default_factory=SmallModelConfig)
    prompt: PromptStyle = Field(
        "plain",
        description="For chat models, react: the world's instruction comes first; one_shot: and a worked example.",
    )
    max_turn_tokens: Positive = Field(48, description="Longest turn, in tokens.")
    thinking: Literal["off", "on"] = Field(
        "off",
        description="on: the model may think before each turn; what it thinks is stored and counted, but no later turn "
        "sees it and none of it is trained on. off: its chat template is told so where it knows how.",
    )
    max_thinking_tokens: Positive = Field(
        1024,
        description="thinking on: so many tokens more than max_turn_tokens; a turn cut off within is empty.",
    )
    engine: Literal["transformers", "openai"] = Field(
        "transformers",
        description="Who generates: transformers, in this process; openai: servers (vLLM) under execution.server.",
    )
    arguments: tuple[str, ...] = Field(
        (),
        description="engine openai: arguments for vLLM that change what is written, e.g. [--quantization, fp8].",
    )
    stop: tuple[str, ...] = Field(
        (), description="engine openai: texts that end a turn, e.g. an observation's start."
    )
    constrain: Literal["none", "admissible"] = Field(
        "none", description="engine openai: admissible lets only actions through that the world would accept."
    )

    @model_validator(mode="after")
    def _engine_can(self) -> PolicyConfig:
        if self.engine == "transformers" and (self.arguments or self.stop or self.constrain != "none"):
            raise ValueError("arguments, stop and constrain need engine: openai")
        if self.thinking == "on" and self.constrain != "none":
            raise ValueError(
                "constrain: admissible leaves no room to think: set thinking: off, or constrain: none"
            )
        return self

    @field_validator("thinking", mode="before")
    @classmethod
    def _switched(cls, value: object) -> object:
        """YAML reads a bare `on` as true."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @field_validator("arguments")
    @classmethod
    def _allowed(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return allowed(arguments)


class RewardsConfig(Section):
    """Monte-Carlo step rewards, and how many rollouts a comparison of two may take."""

    model_config = ConfigDict(title="Step rewards")
    mode: Literal["fixed", "curtailed", "sequential"] = Field(
        "sequential",
        description="fixed: N rollouts for every turn; curtailed: the same verdicts from fewer; sequential: as many as "
        "a verdict at the stated error rate needs, where one can be won.",
    )
    rollouts: Positive = Field(5, description="N of fixed and curtailed: rollouts for each step reward.")
    max_rollouts: Positive = Field(24, description="sequential: at most so many for each step reward.")
    worth: Positive = Field(70, description="sequential: how many rollouts a proven deviation is worth.")
    evidence: Literal["needed", "always"] = Field(
        "needed",
        description="always: compare by eq. 5 also where the rule asks for no rewards; `steca what-if` uses it.",
    )
    candidates: Positive | None = Field(
        None, description="Score at most this many explored turns of a task, the earliest; empty: all."
    )
    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0


class DeviationConfig(Section):
    """The rule that calls an explored turn deviated."""

    model_config = ConfigDict(title="Deviation")
    preset: Literal["paper", "release", "sequential", "first_failure", "every_failure"] = Field(
        "sequential",
        description="paper: the means, strict <, first only; release: the authors' code; sequential: as paper, but a "
        "drop must be proven; first_failure and every_failure: the first or all differing turns of failed runs, "
        "whatever their rewards.",
    )
    delta: Annotated[float, Field(ge=-1, le=1)] = Field(0.0, description="Threshold of eq. 5.")
    outcome: RewardOutcome = Field(
        "success", description="progress: the share of the goal's conditions that a rollout reached."
    )
    error_rate: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="sequential: how often a verdict may be wrong."
    )
    smallest_drop: Annotated[float, Field(gt=0, le=1)] = Field(
        0.2, description="sequential: drops smaller than this need not be found; larger ones are ruled out."
    )


class CalibrationConfig(Section):
    """Reflection and the execution check."""

    model_config = ConfigDict(title="Calibration")
    reflector: Literal["template", "llm"] = Field(
        "template",
        description="Who writes the reflective thought: the world's template, or a language model.",
    )
    model: str = Field(
        "",
        description="reflector llm: the model's name at execution.reflector, e.g. gpt-4o. Replies are kept by it, "
        "whatever server gave them.",
    )
    temperature: Annotated[float, Field(ge=0)] | None = Field(
        None, description="reflector llm: empty leaves it to the server (some models take none)."
    )
    max_tokens: Positive = Field(1024, description="reflector llm: longest reply.")
    attempts: Positive = Field(3, description="reflector llm: replies asked for until one is valid.")
    replan: bool = Field(True, description="Ask the expert for a new plan where its own turns no longer fit.")

    @model_validator(mode="after")
    def _model_named(self) -> CalibrationConfig:
        if self.reflector == "llm" and not self.model:
            raise ValueError("reflector is llm: name its model, e.g. model: gpt-4o")
        return self


class DatasetConfig(Section):
    """The mix that the reinforced training sees."""

    model_config = ConfigDict(title="Data sets")
    calibrated: bool = Field(True, description="D_c.")
    explored_successes: bool = Field(True, description="D_e.")
    expert_suffixes: bool = Field(True, description="D_s.")
    expert_runs: bool = Field(True, description="Keep the warm-up's expert runs in the mix.")
    explored_expert_runs: bool = Field(False, description="Also the expert runs of the explored tasks.")
    weighting: Literal["distance", "none", "release-alfworld", "release-virtualhome"] = "distance"
    lam: Annotated[float, Field(ge=0)] = Field(0.01, description="lambda of the weights.")


class EvaluationConfig(Section):
    """What is measured of a policy. Always greedy."""

    model_config = ConfigDict(title="Evaluation")
    splits: tuple[TestSplit, ...] = ("seen", "unseen")
    forced_deviations: bool = Field(True, description="Also start from histories that hold a deviated turn.")


class BudgetConfig(Section):
    """What a run may spend on rollouts; the stage rewards then ends with what it has, and goes on under a larger one.
    No effect on what comes out where it suffices."""

    model_config = ConfigDict(title="Budget")
    rollouts: Positive | None = Field(None, description="Rollouts; empty: no limit.")
    tokens: Positive | None = Field(None, description="Generated tokens; empty: no limit.")
    minutes: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Minutes of rollouts; empty: no limit."
    )
    usd: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Dollars of rollouts, by usd_per_hour and usd_per_million_tokens."
    )
    usd_per_hour: Annotated[float, Field(ge=0)] = Field(0.0, description="Price of the machine.")
    usd_per_million_tokens: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Price of generated tokens."
    )
    prices: dict[str, PriceConfig] = Field(
        default_factory=dict,
        description="What each reflecting model costs, by its name, for llm_calls; calls are never stopped by it.",
    )

    @model_validator(mode="after")
    def _priced(self) -> BudgetConfig:
        if self.usd is not None and not (self.usd_per_hour or self.usd_per_million_tokens):
            raise ValueError(
                "usd is limited, but nothing has a price: set usd_per_hour or usd_per_million_tokens"
            )
        return self


class ExecutionConfig(Section):
    """How the work is cut and where it runs; no effect on what comes out."""

    model_config = ConfigDict(title="Execution")
    batch_tasks: Positive = Field(
        64, description="Tasks in one batch: what a killed run may lose. No effect on what is cached."
    )
    device: Device = "auto"
    threads: Positive | None = Field(None, description="Torch threads; empty: torch's own choice.")
    save_steps: Positive = Field(
        200, description="Training state is kept every so many steps; a killed training goes on from there."
    )
    processes: Positive = Field(
        1, description="Training processes, started by `accelerate launch`; one a GPU."
    )
    accelerate: HomePath | None = Field(
        None, description="Config file for `accelerate launch`, e.g. configs/accelerate/fsdp.yaml."
    )
    server: ServerConfig = Field(default_factory=ServerConfig, description="Where the policy is served.")
    reflector: ReflectorEndpoint = Field(
        default_factory=ReflectorEndpoint, description="Where the reflector's model answers."
    )

    @property
    def key_variables(self) -> tuple[str, ...]:
        """The environment variables that hold keys."""
        return tuple(filter(None, (self.server.key_env, self.reflector.key_env)))


class FactoryConfig(Section):
    """A whole factory run."""

    model_config = ConfigDict(title="Factory")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")] = Field(
        "factory", description="Short name; run ids start with it."
    )
    seed: Count = 0
    rounds: Positive = Field(1, description="Explore-calibrate-train rounds.")
    data_dir: Path = Field(Path("data"), description="Where shards, checkpoints and the store live.")
    environment: EnvironmentConfig = Field(default_factory=EnvironmentConfig)
    tasks: TasksConfig = Field(default_factory=TasksConfig)
    policy: PolicyConfig = Field(default_factory=PolicyConfig)
    warmup: TrainingConfig = Field(default_factory=TrainingConfig)
    rewards: RewardsConfig = Field(default_factory=RewardsConfig)
    deviation: DeviationConfig = Field(default_factory=DeviationConfig)
    calibration: CalibrationConfig = Field(default_factory=CalibrationConfig)
    datasets: DatasetConfig = Field(default_factory=DatasetConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    budget: BudgetConfig = Field(default_factory=BudgetConfig)
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig)

    @model_validator(mode="after")
    def _processes_share_batches(self) -> FactoryConfig:
        for name, config in (("warmup", self.warmup), ("training", self.training)):
            parts = config.gradient_accumulation * self.execution.processes
            if config.batch_size % parts:
                raise ValueError(
                    f"{name}.batch_size is {config.batch_size}, the trajectories of one step in all processes: make it "
                    f"a multiple of gradient_accumulation times execution.processes ({parts})"
                )
        return self

    @model_validator(mode="after")
    def _arguments_in_their_place(self) -> FactoryConfig:
        if deciding := sorted(DECIDING & options(self.execution.server.arguments)):
            raise ValueError(
                f"execution.server.arguments holds {deciding[0]}, which changes what is written: give it in "
                "policy.arguments, so that no cached result of other arguments is taken for one of these"
            )
        return self

    @model_validator(mode="after")
    def _mode_fits_rule(self) -> FactoryConfig:
        mode, preset = self.rewards.mode, self.deviation.preset
        if mode == "sequential" and preset in ("paper", "release"):
            raise ValueError(
                f"deviation.preset is {preset}, which compares means of N rollouts, but rewards.mode is sequential: "
                "set rewards.mode to fixed or curtailed, or deviation.preset to sequential"
            )
        if mode == "curtailed" and preset == "sequential":
            raise ValueError(
                "rewards.mode is curtailed, which stops early for the rules that compare means, but deviation.preset "
                "is sequential: set rewards.mode to sequential (or fixed)"
            )
        return self
