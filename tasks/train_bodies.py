"""The bodies of the training tasks, in a file of their own so that only a batch that really trains loads torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from transformers import PreTrainedTokenizerBase

from configs.training import TrainingConfig
from models.checkpoint import CheckpointRef, load, parameters_of, reference, save_checkpoint
from models.local.small import build_small_model
from models.local.tokenizer import train_tokenizer
from models.policy import PolicyFault
from models.training.distributed.launching import LaunchConfig, train_in_processes
from models.training.examples import Example
from models.training.objectives.preferences import Preferences
from models.training.train import CurvePoint, Saving, TrainResult, train
from models.training.training_data import TrainingData, content
from rollouts.rows import of_type
from rollouts.stages.assemble import training_inputs, warmup_examples
from rollouts.stages.pairs import pair_inputs
from steca.vocabulary import PolicyRole
from storage.ids import content_id
from storage.records import CheckpointRecord, PreferencePairRecord, TrainingExampleRecord
from tasks.batch import Batch
from tasks.preflight import accelerate_file


def warm_up(batch: Batch) -> CheckpointRecord:
    """Train the base model on the batch's expert runs."""
    policy = batch.config.policy
    examples = warmup_examples(batch.world, batch.records(), policy.prompt, policy.thinking == "on")
    texts = [message["content"] for example in examples for message in example.messages]
    base = _base(batch, lambda: train_tokenizer(texts, batch.world.vocabulary(), policy.small.vocabulary))
    parent = base.digest if batch.inputs["base"] else None
    return _train(batch, base, examples, batch.config.warmup, "warmup", parent)


def reinforce(batch: Batch) -> CheckpointRecord:
    """Train the explorer on the batch's weighted examples."""
    base = batch.resources.checkpoint(batch.inputs["checkpoint"])
    return _train(batch, base, _weighted(batch), batch.config.training.optimization, "trained", base.digest)


def train_base(batch: Batch) -> CheckpointRecord:
    """Train the base model on the batch's weighted examples. A new small model has the tokenizer of the warm-up."""
    base = _base(batch, lambda: load(batch.resources.checkpoint(batch.inputs["checkpoint"]))[1])
    parent = base.digest if batch.inputs["base"] else None
    return _train(batch, base, _weighted(batch), batch.config.training.optimization, "trained", parent)


def prefer(batch: Batch) -> CheckpointRecord:
    """Train the explorer on the batch's preference pairs."""
    rows = of_type(batch.records("pairs"), PreferencePairRecord)
    policy, training, resources = batch.config.policy, batch.config.training, batch.resources
    pairs = pair_inputs(batch.world, rows, batch.records(), policy.prompt, policy.thinking == "on")
    base = resources.checkpoint(batch.inputs["checkpoint"])
    data = Preferences(
        pairs,
        resources.checkpoint(batch.inputs["reference"]),
        training.preference_loss(int(batch.inputs["round"])),
        resources.root / "training" / "references",
    )
    return _train(batch, base, data, training.optimization, "trained", base.digest)


def _weighted(batch: Batch) -> list[Example]:
    rows = of_type(batch.records("examples"), TrainingExampleRecord)
    policy = batch.config.policy
    return training_inputs(batch.world, rows, batch.records(), policy.prompt, policy.thinking == "on")


def _base(batch: Batch, tokenizer: Callable[[], PreTrainedTokenizerBase]) -> CheckpointRef:
    """The configured model folder, else a new small model for a tokenizer. Raises PolicyFault where the folder has
    changed since the stage began, because the result is stored under the digest of that time."""
    folder, digest = batch.resources.base, batch.inputs["base"]
    if folder:
        found = reference(folder)
        if found.digest != digest:
            raise PolicyFault(
                f"policy.base {folder} has changed since the stage began (its digest was {digest[:16]} and is "
                f"{found.digest[:16]}): make sure that nothing writes to it, and run again"
            )
        return found
    small, seed, words = batch.config.policy.small, batch.config.seed, tokenizer()
    model = build_small_model(words, small, seed)
    return save_checkpoint(model, words, batch.resources.checkpoints, {"base": None, "seed": seed})


def _train(
    batch: Batch,
    base: CheckpointRef,
    data: TrainingData,
    config: TrainingConfig,
    role: PolicyRole,
    parent: str | None,
) -> CheckpointRecord:
    resources, seed = batch.resources, batch.config.seed
    execution, report = resources.execution, batch.progress
    resources.servers.make_room()
    resources.use_threads()
    progress = (lambda done, of, _: report(done, of)) if report else None
    saving = Saving(_state_folder(batch, base, data, config), execution.save_steps)
    with _alone(saving.folder, resources.root, resources.log):
        if execution.processes == 1 and execution.accelerate is None:
            result = train(
                base, data, config, resources.checkpoints, seed, execution.device, progress, saving
            )
        else:
            launch = LaunchConfig(
                execution.processes, execution.accelerate, execution.threads, execution.key_variables
            )
            result = train_in_processes(
                base,
                data,
                config,
                resources.checkpoints,
                launch,
                saving,
                seed,
                execution.device,
                progress,
            )
    if result.unchanged:
        resources.log(_nothing_changed(result, config, role))
    return _row(batch, result, role, parent)


def _nothing_changed(result: TrainResult, config: TrainingConfig, role: PolicyRole) -> str:
    """Which training changed nothing, the likely cause, and what to do."""
    stage, section = ("warmup", "warmup") if role == "warmup" else ("train", "training")
    if not any(point.gradient_norm for point in result.curve):
        cause = "every gradient was 0, as it is where all examples weigh 0; check datasets.weighting and datasets.lam"
    else:
        rate = max(point.learning_rate for point in result.curve)
        cause = f"its highest learning rate, {rate:g}, is too small for {config.dtype}; raise {section}.learning_rate"
    return (
        f"stage {stage} changed no weight, so its checkpoint equals the model that it started from: {cause}"
    )


@contextmanager
def _alone(folder: Path, root: Path, log: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a training's state folder. Another process with the same training waits. The kernel releases
    the lock when the process that holds it dies."""
    (root / "locks").mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / "locks" / f"training-{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log("another process runs the same training in this data folder; waiting until it ends")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _state_folder(batch: Batch, base: CheckpointRef, data: TrainingData, config: TrainingConfig) -> Path:
    """Named by everything that decides the training bit by bit, the number of processes included, and by nothing else:
    whatever asks for the same training resumes from its state. Raises PolicyFault."""
    execution = batch.resources.execution
    file = accelerate_file(execution)
    shared = [execution.processes, file.read_text() if file else None, execution.device]
    settings = config.model_dump(mode="json")
    decides = content_id(base.digest, content(data), settings, batch.config.seed, shared)
    return batch.resources.root / "training" / decides


def _row(batch: Batch, result: TrainResult, role: PolicyRole, parent: str | None) -> CheckpointRecord:
    losses = [point.loss for point in result.curve]
    return CheckpointRecord(
        digest=result.ref.digest,
        path=result.ref.path.relative_to(batch.resources.root).as_posix(),
        parent=parent,
        role=role,
        round=int(batch.inputs["round"]),
        examples=result.examples,
        steps=len(losses),
        target_tokens=result.target_tokens,
        final_loss=losses[-1],
        losses=losses,
        learning_rates=[point.learning_rate for point in result.curve],
        gradient_norms=[point.gradient_norm for point in result.curve],
        preference_accuracies=_reported(result.curve, "preference_accuracy"),
        preference_margins=_reported(result.curve, "preference_margin"),
        parameters=parameters_of(result.ref),
    )


def _reported(curve: Sequence[CurvePoint], name: str) -> list[float] | None:
    """A figure of every step; None if the objective has no such figure."""
    values = [getattr(point, name) for point in curve]
    return None if None in values else values
