"""A file of a model that cannot be written is one line, whichever library writes it."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.file_errors import writing_model
from models.policy import PolicyFault
from models.training.train import Saving, train
from tests.models.training.loop.test_states import CONFIG
from tests.support.policy_toys import checkpoint, examples, tokenizer, untrained

WEIGHTS = {"weight": torch.zeros(100_000)}
WRITERS: dict[str, Callable[[Path], object]] = {
    "torch": lambda folder: torch.save(WEIGHTS, folder / "state.pt"),
    "safetensors": lambda folder: save_file(WEIGHTS, folder / "model.safetensors"),
    "tokenizers": lambda folder: tokenizer().backend_tokenizer.save(str(folder / "tokenizer.json")),
    "Python": lambda folder: (folder / "text").write_text("x" * 10_000),
}


@contextmanager
def full_disk(room: int = 1000) -> Iterator[None]:
    """A limit on the size of files stands in for it: a write beyond it fails in the same way, root or not."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_line(writer: str, tmp_path: Path) -> None:
    with (
        pytest.raises(
            PolicyFault, match=f"^cannot write a model under {tmp_path}: .*; free some space"
        ) as fault,
        full_disk(),
        writing_model("a model", tmp_path),
    ):
        WRITERS[writer](tmp_path)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), ValueError("no such dtype"), Exception("odd")]
)
def test_what_is_not_about_a_file_stays_what_it_is(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error), match=str(error)), writing_model("a model", tmp_path):
        raise error


@pytest.mark.parametrize("room", [100, 5000, 20_000])
def test_a_checkpoint_on_a_full_disk_leaves_nothing_and_is_written_later(room: int, tmp_path: Path) -> None:
    with full_disk(room), pytest.raises(PolicyFault, match="cannot write a checkpoint"):
        checkpoint(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert checkpoint(tmp_path).path.is_dir()


def test_a_state_of_a_training_on_a_full_disk_is_one_line_and_the_training_goes_on_later(
    tmp_path: Path,
) -> None:
    saving, limits = Saving(tmp_path / "state", 3), resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done: int, of: int, loss: float) -> None:
        if done == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))

    try:
        with pytest.raises(
            PolicyFault, match=f"cannot write the state of a training under {tmp_path / 'state'}"
        ):
            train(untrained(), examples(11), CONFIG, tmp_path, 5, "cpu", fill, saving)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    steps: list[int] = []
    train(
        untrained(),
        examples(11),
        CONFIG,
        tmp_path,
        5,
        "cpu",
        lambda done, of, loss: steps.append(done),
        saving,
    )
    assert steps == list(range(4, 11)), "from the state before"
