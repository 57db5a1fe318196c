"""Every setting of a factory run, with its meaning and range.

The models are frozen and forbid unknown keys. The parameter forms in the Prefect UI are made from them.
Settings under `execution` and `budget` do not change results, so they are left out of cache keys and of the id of a
run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from configs.calibration import CalibrationConfig, JudgeConfig
from configs.cluster import RayConfig
from configs.data_folder import DataFolder
from configs.environment import EnvironmentConfig, TasksConfig
from configs.section import Count, HomePath, Positive, Section
from configs.servers import DECIDING, PriceConfig, ReflectorEndpoint, ServerConfig, allowed, options
from configs.training import ReinforcedTrainingConfig, TrainingConfig
from steca.vocabulary import Device, PromptStyle, RewardOutcome


class SmallModelConfig(Section):
    """A small Llama model, trained from scratch."""

    model_config = ConfigDict(title="Small model")
    layers: Positive = Field(2, description="Transformer layers.")
    hidden_size: Positive = Field(128, description="Width. A multiple of heads.")
    heads: Positive = Field(4, description="Attention heads. A multiple of kv_heads.")
    kv_heads: Positive = Field(2, description="Heads of keys and values, which attention heads share.")
    context: Annotated[int, Field(ge=128)] = Field(
        2048, description="Maximum length of a history, in tokens."
    )
    vocabulary: Annotated[int, Field(ge=512)] = Field(
        4096, description="Maximum vocabulary of the tokenizer."
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> SmallModelConfig:
        if self.hidden_size % self.heads or self.heads % self.kv_heads:
            raise ValueError("hidden_size must be a multiple of heads, and heads a multiple of kv_heads")
        return self


class PolicyConfig(Section):
    """The base model, and how it generates turns."""

    model_config = ConfigDict(title="Policy")
    base: HomePath | None = Field(
        None,
        description="Folder of the Hugging Face causal LM to start from. Empty: a small model from scratch.",
    )
    small: SmallModelConfig = Field(default_factory=SmallModelConfig)
    prompt: PromptStyle = Field(
        "plain",
        description="plain: no instruction. For chat models, react: the world's instruction first; "
        "one_shot: with a worked example.",
    )
    max_turn_tokens: Positive = Field(48, description="Maximum length of a turn, in tokens.")
    thinking: Literal["off", "on"] = Field(
        "off",
        description="on: the model may think before each turn. Thinking is stored and counted, but it is "
        "not part of the history and not trained on. off: chat templates switch it off, if they can.",
    )
    max_thinking_tokens: Positive = Field(
        1024,
        description="thinking on: tokens in addition to max_turn_tokens. A turn that ends while thinking is empty.",
    )
    engine: Literal["transformers", "openai"] = Field(
        "transformers",
        description="transformers: generate in this process. openai: generate on the vLLM servers in "
        "execution.server.",
    )
    arguments: tuple[str, ...] = Field(
        (),
        description="engine openai: vLLM arguments that change what is generated, e.g. [--quantization, fp8].",
    )
    stop: tuple[str, ...] = Field(
        (), description="engine openai: strings that end a turn, e.g. the start of an observation."
    )
    constrain: Literal["none", "admissible"] = Field(
        "none", description="engine openai: admissible allows only actions that the world would accept."
    )

    @model_validator(mode="after")
    def _engine_can(self) -> PolicyConfig:
        if self.engine == "transformers" and (self.arguments or self.stop or self.constrain != "none"):
            raise ValueError("arguments, stop and constrain need engine: openai")
        if self.thinking == "on" and self.constrain != "none":
            raise ValueError(
                "constrain: admissible leaves no room for thinking: set thinking: off, or constrain: none"
            )
        return self

    @field_validator("thinking", mode="before")
    @classmethod
    def _switched(cls, value: object) -> object:
        """YAML reads an unquoted `on` as true."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @field_validator("arguments")
    @classmethod
    def _allowed(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return allowed(arguments)


class ExplorationConfig(Section):
    """Sampled runs. Greedy ones after every expert prefix are played besides, where something uses them."""

    model_config = ConfigDict(title="Exploration")
    samples: Count = Field(0, description="Whole runs of each explored task that are sampled from its start.")
    temperature: Annotated[float, Field(gt=0)] = Field(1.0, description="Temperature of sampled runs.")


class RewardsConfig(Section):
    """Monte-Carlo step rewards, and how many rollouts a comparison of two turns gets."""

    model_config = ConfigDict(title="Step rewards")
    mode: Literal["fixed", "curtailed", "sequential"] = Field(
        "curtailed",
        description="fixed: N rollouts per turn. curtailed: the same verdicts with fewer rollouts. "
        "sequential: as many as a verdict at deviation.error_rate needs, fewer where none is likely.",
    )
    rollouts: Positive = Field(5, description="fixed and curtailed: N, the rollouts per step reward.")
    max_rollouts: Positive = Field(24, description="sequential: maximum rollouts per step reward.")
    worth: Positive = Field(
        70,
        description="sequential: how many rollouts a proven deviation is worth. A larger value samples more.",
    )
    evidence: Literal["needed", "always"] = Field(
        "needed",
        description="always: compute step rewards even if the deviation rule does not use them; `steca "
        "what-if` then can.",
    )
    candidates: Positive | None = Field(
        None, description="Score at most this many explored turns per task, the earliest. Empty: all."
    )
    scorer: HomePath | None = Field(
        None,
        description="Folder of the Hugging Face causal LM that plays the rollouts. Empty: the warm-up policy.",
    )
    temperature: Annotated[float, Field(gt=0)] = Field(1.0, description="Sampling temperature of rollouts.")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="Nucleus sampling mass of rollouts.")


class DeviationConfig(Section):
    """The rule that decides whether an explored turn is a deviation."""

    model_config = ConfigDict(title="Deviation")
    preset: Literal[
        "paper", "release", "sequential", "probable", "judge", "first_failure", "every_failure"
    ] = Field(
        "paper",
        description="paper: compares means with a strict <, first deviation only. release: as the authors' "
        "code. sequential: as paper, but the drop must be proven. probable: as paper, but the drop must be more "
        "probable than deviation.probability. judge: as paper, but a language model says which turns are bad. "
        "first_failure, every_failure: the first or all differing turns of "
        "failed runs, whatever their rewards.",
    )
    delta: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.0,
        description="Threshold of eq. 5: a turn is deviated if its reward, less that of the expert's turn before, is "
        "below it. A larger one finds more deviations; one above 0 also turns as good as the expert's.",
    )
    outcome: RewardOutcome = Field(
        "success",
        description="success: whether a rollout won. progress: the share of the goal's conditions that it reached. "
        "score: its reward.",
    )
    error_rate: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="sequential: how often a verdict may be wrong."
    )
    smallest_drop: Annotated[float, Field(gt=0, le=1)] = Field(
        0.2,
        description="sequential: the smallest drop that has to be found; not deviated means that any drop "
        "is smaller.",
    )
    probability: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="probable: deviated if the probability of a drop, given the rollouts, is larger."
    )
    suffixes: Literal["preset", "means", "every"] = Field(
        "preset",
        description="D_s takes the expert's suffix where its turn is better than the explored one. preset: "
        "decided as the preset decides drops. means: by the means of the rollouts that there are. every: "
        "wherever the turns differ and the explored run failed, whatever their rewards.",
    )


class DatasetConfig(Section):
    """The training sets of stage train."""

    model_config = ConfigDict(title="Data sets")
    calibrated: bool = Field(True, description="D_c: calibrated trajectories.")
    explored_successes: bool = Field(True, description="D_e: explored successes.")
    expert_suffixes: bool = Field(True, description="D_s: suffixes of expert runs.")
    expert_runs: bool = Field(True, description="Also train on the expert runs of the warm-up.")
    explored_expert_runs: bool = Field(
        False, description="Also train on the expert runs of the explored tasks."
    )
    sampled_successes: bool = Field(
        False,
        description="Also train on the successful sampled runs (exploration.samples), each sequence of actions once "
        "per task.",
    )
    weighting: Literal["distance", "probability", "none", "release-alfworld", "release-virtualhome"] = Field(
        "distance",
        description="distance: the paper's weights. probability: the same, times the probability of the drop (D_c) or "
        "that the expert's turn is better (D_s). none: 1. release-*: the authors' code.",
    )
    lam: Annotated[float, Field(ge=0)] = Field(0.01, description="lambda in the weights.")


class EvaluationConfig(Section):
    """How policies are evaluated, always with greedy decoding."""

    model_config = ConfigDict(title="Evaluation")
    splits: tuple[str, ...] = Field(
        ("seen", "unseen"),
        description="The splits to test on: validation, seen, unseen, or those of tasks.splits.",
    )
    forced_deviations: bool = Field(
        True, description="Also evaluate episodes that start after a deviated turn."
    )


class BudgetConfig(Section):
    """Limits for the rollouts of a run. At a limit the stage rewards ends early; it resumes under a larger one. No
    effect on results while no limit is reached."""

    model_config = ConfigDict(title="Budget")
    rollouts: Positive | None = Field(None, description="Maximum rollouts. Empty: no limit.")
    tokens: Positive | None = Field(None, description="Maximum generated tokens. Empty: no limit.")
    minutes: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Maximum minutes of rollouts. Empty: no limit."
    )
    usd: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Maximum dollars for rollouts, from usd_per_hour and usd_per_million_tokens. Empty: no limit.",
    )
    usd_per_hour: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Price of the machine, in dollars per hour."
    )
    usd_per_million_tokens: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Price of a million generated tokens, in dollars."
    )
    prices: dict[str, PriceConfig] = Field(
        default_factory=dict,
        description="Prices of reflectors and judges by the model's name, for the costs in llm_calls. They limit "
        "nothing.",
    )

    @model_validator(mode="after")
    def _priced(self) -> BudgetConfig:
        if self.usd is not None and not (self.usd_per_hour or self.usd_per_million_tokens):
            raise ValueError(
                "usd is limited, but nothing has a price: set usd_per_hour or usd_per_million_tokens"
            )
        return self


class ExecutionConfig(Section):
    """Batch sizes, devices, processes and servers. No effect on results."""

    model_config = ConfigDict(title="Execution")
    batch_tasks: Positive = Field(
        64, description="Tasks per batch: the most that a killed run loses. No effect on what is cached."
    )
    concurrency: Positive | None = Field(
        None,
        description="Batches of a stage that run at once, where served models do the work: more keep their servers "
        "busy to the end. Empty: 4.",
    )
    runner: Literal["local", "ray"] = Field(
        "local",
        description="ray: actors of a Ray cluster make the batches, except for trainings and what takes a moment.",
    )
    ray: RayConfig = Field(default_factory=RayConfig, description="runner ray: the cluster and its actors.")
    device: Device = Field("auto", description="Where models run. auto: on a GPU if there is one.")
    threads: Positive | None = Field(None, description="Torch threads. Empty: torch's default.")
    save_steps: Positive = Field(
        200,
        description="Optimizer steps between saved training states. A killed training resumes from the last one.",
    )
    processes: Positive = Field(
        1, description="Training processes, one per GPU, started by `accelerate launch`."
    )
    accelerate: HomePath | None = Field(
        None, description="Config file for `accelerate launch`, e.g. configs/accelerate/fsdp.yaml."
    )
    server: ServerConfig = Field(default_factory=ServerConfig, description="The policy's servers.")
    reflector: ReflectorEndpoint = Field(
        default_factory=ReflectorEndpoint,
        description="The server of the language models that write reflections and judge turns.",
    )

    @property
    def key_variables(self) -> tuple[str, ...]:
        """The environment variables that hold API keys."""
        return tuple(filter(None, (self.server.key_env, self.reflector.key_env)))


class FactoryConfig(Section):
    """A whole factory run."""

    model_config = ConfigDict(title="Factory")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")] = Field(
        "factory", description="Short name. Run ids start with it."
    )
    seed: Count = Field(0, description="Draws the tasks, the initial weights and all samples.")
    rounds: Positive = Field(1, description="Rounds of explore, rewards, calibrate, train and evaluate.")
    data_dir: DataFolder = Field(
        Path("data"),
        description="Folder for shards, checkpoints and the store, or a URL: s3://BUCKET/PREFIX.",
    )
    environment: EnvironmentConfig = Field(default_factory=EnvironmentConfig)
    tasks: TasksConfig = Field(default_factory=TasksConfig)
    policy: PolicyConfig = Field(default_factory=PolicyConfig)
    warmup: TrainingConfig = Field(default_factory=TrainingConfig)
    exploration: ExplorationConfig = Field(default_factory=ExplorationConfig)
    rewards: RewardsConfig = Field(default_factory=RewardsConfig)
    deviation: DeviationConfig = Field(default_factory=DeviationConfig)
    judge: JudgeConfig = Field(default_factory=JudgeConfig)
    calibration: CalibrationConfig = Field(default_factory=CalibrationConfig)
    datasets: DatasetConfig = Field(default_factory=DatasetConfig)
    training: ReinforcedTrainingConfig = Field(default_factory=ReinforcedTrainingConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    budget: BudgetConfig = Field(default_factory=BudgetConfig)
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig)

    @property
    def judges(self) -> bool:
        """Whether a language model judges the explored turns."""
        return self.deviation.preset == "judge" or self.judge.ask == "always"

    @model_validator(mode="after")
    def _processes_share_batches(self) -> FactoryConfig:
        for name, config in (("warmup", self.warmup), ("training", self.training)):
            parts = config.gradient_accumulation * self.execution.processes
            if config.batch_size % parts:
                raise ValueError(
                    f"{name}.batch_size is {config.batch_size}, the trajectories of one step in all "
                    f"processes: make it a multiple of gradient_accumulation times execution.processes ({parts})"
                )
        return self

    @model_validator(mode="after")
    def _arguments_in_their_place(self) -> FactoryConfig:
        if deciding := sorted(DECIDING & options(self.execution.server.arguments)):
            raise ValueError(
                f"execution.server.arguments holds {deciding[0]}, which changes what is generated: move it to "
                "policy.arguments, which is part of cache keys"
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
