"""A state of a training that somebody swapped runs no code, although its seal fits."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as parts

from models.policy import PolicyFault
from models.training.loop.pickles import FORCE, PARTS, code_in, data_only
from models.training.loop.states import newest_intact, seal_and_prune
from tests.models.training.loop.test_states import CONFIG, trained


class Code:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was stopped after its first state."""
    root = tmp_path_factory.mktemp("stopped")
    with pytest.raises(KeyboardInterrupt):
        trained(root, CONFIG, stop=4)
    return root


def test_the_code_would_run(tmp_path: Path) -> None:
    torch.save(Code(tmp_path / "ran"), tmp_path / "file")
    torch.load(tmp_path / "file", weights_only=False)
    assert (tmp_path / "ran").is_dir()


@pytest.mark.parametrize("bare", [False, True], ids=["torch's file", "bare pickle"])
@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"])
def test_a_swapped_file_runs_no_code(stopped: Path, tmp_path: Path, name: str, bare: bool) -> None:
    root, mark = tmp_path / "copy", tmp_path / "ran"
    shutil.copytree(stopped, root)
    state = root / "state" / "checkpoint-3"
    assert (state / name).is_file()
    if bare:
        (state / name).write_bytes(pickle.dumps(Code(mark)))
    else:
        torch.save(Code(mark), state / name)
    seal_and_prune(state)
    if name == "training_args.bin":  # the Trainer writes it and never reads it
        trained(root, CONFIG)
    else:
        with pytest.raises(PolicyFault, match="holds more than numbers") as caught:
            trained(root, CONFIG)
        assert "\n" not in str(caught.value)
    assert not mark.exists()
    assert FORCE not in os.environ


def sharded(state: Path) -> Path:
    """A state as torch writes it in parts."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    for name, content in (
        ("pytorch_model_fsdp_0", model.state_dict()),
        ("optimizer_0", optimizer.state_dict()),
    ):
        parts.save({"it": content}, checkpoint_id=state / name)
    seal_and_prune(state)
    return state


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_list_of_the_parts_of_a_sharded_state_runs_no_code(tmp_path: Path) -> None:
    state = sharded(tmp_path / "checkpoint-1")
    assert code_in(state) is None
    assert newest_intact(tmp_path) == state
    (state / "optimizer_0" / PARTS).write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    seal_and_prune(state)
    assert newest_intact(tmp_path) is None
    assert not (tmp_path / "ran").exists()
    for content in (b"", b"\x80\x04", b"cos\nsystem\n(S'true'\ntR.", b"ctorch\nos.system\n(S'true'\ntR."):
        (state / "optimizer_0" / PARTS).write_bytes(content)
        assert "cannot be loaded as data" in (code_in(state) or "")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_part_of_a_sharded_state_runs_no_code(tmp_path: Path) -> None:
    """What is no tensor, such as the learning rate, is a pickle within the file of a part."""
    state, mark = tmp_path / "checkpoint-1", tmp_path / "ran"
    parts.save({"lr": Code(mark)}, checkpoint_id=state)
    assert code_in(state) is None
    with pytest.raises(PolicyFault, match="holds more than numbers"), data_only(state):
        parts.load({"lr": 0.0}, checkpoint_id=state)
    assert not mark.exists()
    parts.load({"lr": 0.0}, checkpoint_id=state)  # torch alone runs it
    assert mark.exists()
