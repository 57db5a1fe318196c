"""Training in several processes: the same as in one, clear when it fails, and gone with the process that asked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from configs.training import LoraConfig, TrainingConfig
from models.checkpoint import CheckpointRef, load
from models.policy import PolicyFault
from models.training.distributed import launching
from models.training.distributed.launching import LaunchConfig, train_in_processes
from models.training.examples import Example
from models.training.loop.ordering import FILLER, TrainingOrder
from models.training.train import Saving, TrainResult, load_gathered_weights, train
from tests.support.fsdp_on_cpu import shard_on_cpu
from tests.support.policy_toys import (
    conversation,
    encode,
    overflowing_model,
    rewriting_model,
    said,
    turn,
    untrained,
)
from tests.support.tiny_factory import ROOT

UNEQUAL = [Example(f"e{i}", conversation(i, 1 + i % 4), [True] * (1 + i % 4), 0.2 + i % 3) for i in range(11)]
CONFIG = TrainingConfig(
    epochs=2, batch_size=4, learning_rate=1e-3
)  # 3 trajectories in the last batch of an epoch
FSDP = ROOT / "configs" / "accelerate" / "fsdp.yaml"


def weights_of(ref: CheckpointRef) -> torch.Tensor:
    return torch.cat([p.flatten() for p in load(ref)[0].parameters()])


def launched(folder: Path, config: TrainingConfig, launch: LaunchConfig, told: list[int]) -> TrainResult:
    saving = Saving(folder / "state", 4)
    return train_in_processes(
        untrained(), UNEQUAL, config, folder, launch, saving, 3, "cpu", lambda done, _, __: told.append(done)
    )


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    one = train(untrained(), UNEQUAL, CONFIG, tmp_path / "one", 3, "cpu")
    told: list[int] = []
    two = launched(tmp_path / "two", CONFIG, LaunchConfig(2, threads=1), told)
    assert told == [1, 2, 3, 4, 5, 6]
    assert [p.loss for p in two.curve] == pytest.approx([p.loss for p in one.curve], rel=1e-5)
    assert torch.allclose(weights_of(one.ref), weights_of(two.ref), atol=1e-6)
    assert (two.examples, two.target_tokens) == (one.examples, one.target_tokens)
    assert not (tmp_path / "two" / "state").exists(), "the state of a finished training is of no use"
    naive = train(untrained(), _naively_weighted(), CONFIG, tmp_path / "naive", 3, "cpu")
    assert not torch.allclose(weights_of(one.ref), weights_of(naive.ref), atol=1e-4)


def _naively_weighted() -> list[Example]:
    """What two processes would minimise if each took the mean over its own trajectories of a step: in a last batch
    of two and one, the single one would count double."""
    lengths = [len(encode(load(untrained())[1], e, 2048)["input_ids"]) for e in UNEQUAL]
    last = list(TrainingOrder(lengths, 4, 3, 3))[-4:]
    assert last[3] == FILLER
    factor = {last[0]: 0.75, last[1]: 0.75, last[2]: 1.5}
    return [
        Example(e.name, e.messages, e.targets, e.weight * factor.get(i, 1)) for i, e in enumerate(UNEQUAL)
    ]


@pytest.mark.slow
def test_two_processes_give_what_one_gives_also_where_trajectories_take_several_sequences(
    tmp_path: Path,
) -> None:
    """The processes' micro-batches then have different numbers of sequences."""
    config = CONFIG.model_copy(update={"loss": "mean"})
    one = train(rewriting_model(), UNEQUAL, config, tmp_path / "one", 3, "cpu")
    saving = Saving(tmp_path / "state", 4)
    two = train_in_processes(
        rewriting_model(), UNEQUAL, config, tmp_path, LaunchConfig(2, threads=1), saving, 3, "cpu"
    )
    assert [p.loss for p in two.curve] == pytest.approx([p.loss for p in one.curve], rel=1e-5)
    assert torch.allclose(weights_of(one.ref), weights_of(two.ref), atol=1e-6)
    assert (two.examples, two.target_tokens) == (one.examples, one.target_tokens)


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_a_launched_training_resumes_from_its_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sharded: bool
) -> None:
    if sharded:
        shard_on_cpu(monkeypatch)
    launch, done = LaunchConfig(2, FSDP if sharded else None, threads=1), []

    def stop(step: int, of: int, loss: float) -> None:
        if step == 5:
            raise KeyboardInterrupt

    saving = Saving(tmp_path / "state", 4)
    with pytest.raises(KeyboardInterrupt):
        train_in_processes(untrained(), UNEQUAL, CONFIG, tmp_path, launch, saving, 3, "cpu", stop)
    state = tmp_path / "state" / "checkpoint-4"
    assert (state / "pytorch_model_fsdp_0").is_dir() == sharded
    assert (state / "model.safetensors").is_file() == (not sharded)
    two = launched(tmp_path, CONFIG, launch, done)
    assert done == [5, 6]
    one = train(untrained(), UNEQUAL, CONFIG, tmp_path / "one", 3, "cpu")
    assert [p.loss for p in two.curve] == pytest.approx([p.loss for p in one.curve], rel=1e-5)
    assert torch.allclose(weights_of(one.ref), weights_of(two.ref), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lora": LoraConfig(rank=4)},
        {"gradient_accumulation": 2},
        {"gradient_checkpointing": True},
        {"dtype": "bfloat16"},
    ],
    ids=["full", "lora", "parts", "checkpointing", "bfloat16"],
)
def test_a_sharded_model_gives_what_one_process_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    """The shipped FSDP file. Under bfloat16 FSDP casts what autocast leaves in fp32: the same only roughly."""
    shard_on_cpu(monkeypatch)
    config = CONFIG.model_copy(update=changes)
    exact = config.dtype == "float32"
    one = train(untrained(), UNEQUAL, config, tmp_path / "one", 3, "cpu")
    two = launched(tmp_path / "two", config, LaunchConfig(2, FSDP, threads=1), [])
    assert [p.loss for p in two.curve] == pytest.approx(
        [p.loss for p in one.curve], rel=1e-4 if exact else 2e-2
    )
    assert torch.allclose(weights_of(one.ref), weights_of(two.ref), atol=1e-5 if exact else 1e-2)
    assert sorted(p.name for p in two.ref.path.iterdir()) == sorted(p.name for p in one.ref.path.iterdir())


@pytest.mark.slow
def test_a_fault_of_the_training_is_reported_as_in_one_process(tmp_path: Path) -> None:
    with pytest.raises(PolicyFault, match=r"e\d+ has \d+ tokens, more than max_tokens = 20"):
        launched(tmp_path, CONFIG.model_copy(update={"max_tokens": 20}), LaunchConfig(2, threads=1), [])


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_a_training_that_diverges_ends_in_all_processes_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sharded: bool
) -> None:
    if sharded:
        shard_on_cpu(monkeypatch)
    config = CONFIG.model_copy(update={"learning_rate": 1e8, "epochs": 9, "gradient_accumulation": 2})
    with pytest.raises(
        PolicyFault, match=r"training step \d+ of 27: the .* is not a finite number"
    ) as caught:
        launched(tmp_path, config, LaunchConfig(2, FSDP if sharded else None, threads=1), [])
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["state"], "no checkpoint"


@pytest.mark.slow
def test_an_example_that_overflows_in_one_process_is_named_and_stops_the_others(tmp_path: Path) -> None:
    base = overflowing_model(tmp_path / "base", " shelf 3")
    given = [
        Example(name, said(f"Visit {place}.", turn(place)), [True])
        for name, place in [("one", "shelf 1"), ("two", "drawer 2"), ("bad", "shelf 3"), ("four", "drawer 4")]
    ]
    saving, launch = Saving(tmp_path / "state", 4), LaunchConfig(2, threads=1)
    with pytest.raises(PolicyFault, match="training step 1 of 3: the loss of bad is not a finite number"):
        train_in_processes(
            base, given, TrainingConfig(steps=3, batch_size=4), tmp_path / "out", launch, saving, 0, "cpu"
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_several_processes_know_a_training_that_changed_nothing(tmp_path: Path) -> None:
    still = launched(
        tmp_path, CONFIG.model_copy(update={"learning_rate": 1e-30}), LaunchConfig(2, threads=1), []
    )
    assert still.unchanged
    assert not launched(tmp_path, CONFIG, LaunchConfig(2, threads=1), []).unchanged


def test_gathered_weights_fill_the_whole_model_or_are_refused() -> None:
    """Under other names (a wrapper's prefix) the untrained base would be saved unnoticed."""
    model = load(untrained())[0]
    weights = {name: torch.ones_like(weight) for name, weight in model.state_dict().items()}
    load_gathered_weights(model, weights)
    assert all(bool((weight == 1).all()) for weight in model.parameters())
    head = weights.pop("lm_head.weight")
    load_gathered_weights(model, weights)  # the head is tied to the embeddings
    embedded = weights.pop("model.embed_tokens.weight")
    load_gathered_weights(model, {**weights, "lm_head.weight": head})
    with pytest.raises(PolicyFault, match=r"0 unknown, 1 missing, e\.g\. model\.embed_tokens\.weight"):
        load_gathered_weights(model, weights)
    with pytest.raises(PolicyFault, match=r"1 unknown, 0 missing, e\.g\. _wrapped\.head"):
        load_gathered_weights(model, {**weights, "lm_head.weight": head, "_wrapped.head": embedded})


def test_a_process_that_fails_is_reported_with_its_log(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: NONSENSE\n")
    with pytest.raises(PolicyFault) as caught:
        launched(tmp_path, CONFIG, LaunchConfig(2, broken), [])
    log = tmp_path / "state" / launching.LOG
    assert str(log) in str(caught.value)
    assert log.read_text().splitlines()[-1] in str(caught.value)
    with pytest.raises(PolicyFault, match=r"execution\.accelerate: there is no file"):
        launched(tmp_path, CONFIG, LaunchConfig(2, tmp_path / "none.yaml"), [])


def test_a_batch_that_the_processes_cannot_share_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(PolicyFault, match="batch_size 4 cannot be divided among 3 processes"):
        train(untrained(), UNEQUAL, CONFIG, tmp_path, 3, "cpu")


ENDLESS = """
import sys
from pathlib import Path
from tests.support.policy_toys import examples, untrained
from configs.training import TrainingConfig
from models.training.distributed.launching import LaunchConfig, train_in_processes
from models.training.train import Saving
root = Path(sys.argv[1])
tell = lambda done, of, loss: (root / "step").write_text(str(done))
train_in_processes(untrained(), examples(8), TrainingConfig(steps=100000, batch_size=4), root,
               LaunchConfig(1, threads=1), Saving(root / "state", 1000000), 0, "cpu", tell)
"""


@pytest.mark.slow
def test_no_process_outlives_a_caller_that_is_killed(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    caller = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)], env={**os.environ, "PYTHONPATH": path}, cwd=ROOT
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "step").exists():
        assert caller.poll() is None, "the training ended by itself"
        assert time.monotonic() < deadline, "the training does not start"
        time.sleep(0.1)
    children = psutil.Process(caller.pid).children(recursive=True)
    assert len(children) >= 2, "the launcher and its process"
    caller.kill()
    caller.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
