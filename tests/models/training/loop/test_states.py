"""A killed training resumes from its last intact state, with the result of an uninterrupted one."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from configs.training import LoraConfig, TrainingConfig
from models.training.loop.states import SEAL, newest_intact, seal_and_prune
from models.training.train import Saving, TrainResult, train
from tests.support.policy_toys import examples, untrained
from tests.support.tiny_factory import ROOT

CONFIG = TrainingConfig(steps=10, batch_size=4, learning_rate=3e-3)  # 11 examples: three epochs and a bit
LORA = CONFIG.model_copy(update={"lora": LoraConfig(rank=4, dropout=0.2), "gradient_accumulation": 2})

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.support.policy_toys import examples
from models.checkpoint import reference
from models.training.train import Saving, train
from tests.models.training.loop.test_states import CONFIG
root = Path(sys.argv[1])
die = lambda done, of, loss: os.kill(os.getpid(), signal.SIGKILL) if done == 8 else None
train(reference(Path(sys.argv[2])), examples(11), CONFIG, root, 5, "cpu", die, Saving(root / "state", 3))
"""


def trained(
    root: Path, config: TrainingConfig, stop: int = 0, every: int = 3
) -> tuple[TrainResult, list[int]]:
    """Train in `root`, broken off after `stop` steps; the result and the steps that were done."""
    done: list[int] = []

    def tell(step: int, of: int, loss: float) -> None:
        done.append(step)
        if step == stop:
            raise KeyboardInterrupt

    saving = Saving(root / "state", every)
    return train(untrained(), examples(11), config, root, 5, "cpu", tell, saving), done


def same(one: TrainResult, two: TrainResult) -> bool:
    return one.ref.digest == two.ref.digest and one.curve == two.curve


def test_after_a_kill_the_same_call_gives_the_same_checkpoint_and_the_whole_curve(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(untrained().path)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [p.name for p in (tmp_path / "killed" / "state").iterdir()] == ["checkpoint-6"], "only the last"
    resumed, done = trained(tmp_path / "killed", CONFIG)
    whole, all_steps = trained(tmp_path / "whole", CONFIG, every=1000)
    assert (done, all_steps) == ([7, 8, 9, 10], list(range(1, 11)))
    assert same(resumed, whole)
    assert [point.step for point in resumed.curve] == all_steps
    assert not (tmp_path / "killed" / "state").exists()


def test_adapters_and_their_dropout_go_on_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", LORA, stop=5)
    weights = {p.suffix for p in (tmp_path / "cut" / "state" / "checkpoint-3").glob("adapter_model*")}
    assert weights == {".safetensors"}
    resumed, done = trained(tmp_path / "cut", LORA)
    assert done[0] == 4
    assert same(resumed, trained(tmp_path / "whole", LORA)[0])


@pytest.mark.parametrize("damage", ["cut short", "unsealed", "changed"])
def test_a_state_that_is_not_sound_is_named_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, CONFIG, stop=4)
    state = tmp_path / "state" / "checkpoint-3"
    weights = state / "model.safetensors"
    if damage == "unsealed":
        (state / SEAL).unlink()
    elif damage == "cut short":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with caplog.at_level(logging.WARNING):
        again, done = trained(tmp_path, CONFIG)
    assert done[0] == 1
    assert f"training state {state} cannot be used" in caplog.text
    assert same(again, trained(tmp_path / "whole", CONFIG)[0])


def test_a_half_written_state_leaves_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for step in (90, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model.safetensors").write_text(f"{step}")
    seal_and_prune(tmp_path / "checkpoint-90")
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-90"]
    (tmp_path / "checkpoint-100").mkdir()
    (tmp_path / "checkpoint-100" / "model.safetensors").write_text("half of it")
    assert newest_intact(tmp_path) == tmp_path / "checkpoint-90"
    assert "checkpoint-100 cannot be used: it is incomplete" in caplog.text
    assert newest_intact(tmp_path / "nowhere") is None
