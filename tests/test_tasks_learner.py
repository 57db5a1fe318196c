"""Where the state of a training is kept: with all that decides it, and apart from every other batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from policy_toys import examples

from configs.load import check
from models.policy import PolicyFault
from models.reference import CheckpointRef
from tasks.batch import Batch
from tasks.learner import _state_folder
from tasks.preflight import preflight
from tasks.workplace import Workplace

BASE = CheckpointRef(Path("base"), "0" * 64)


def folder(root: Path, round: str = "1", base: CheckpointRef = BASE, **config: Any) -> Path:
    given = check({"data_dir": str(root), **config}, "test")
    batch = Batch({"round": round}, {}, Workplace(given), given)
    return _state_folder(batch, base, examples(2), given.training)


def test_equal_batches_share_their_states_and_no_others_do(tmp_path: Path) -> None:
    """Only equal batches never run at the same time: two runs whose settings differ elsewhere may train on the same
    examples at once."""
    mine = folder(tmp_path)
    assert mine == folder(tmp_path)
    assert mine.parent == tmp_path / "training"
    plain = tmp_path / "plain.yaml"
    plain.write_text("distributed_type: MULTI_GPU\n")
    others = [
        folder(tmp_path, round="2"),
        folder(tmp_path, base=CheckpointRef(Path("base"), "1" * 64)),
        folder(tmp_path, seed=1),
        folder(tmp_path, training={"learning_rate": 1e-5}),
        folder(tmp_path, execution={"processes": 2}),
        folder(tmp_path, execution={"accelerate": str(plain)}),
    ]
    assert len({mine, *others}) == 7


def test_a_missing_file_for_accelerate_is_told_before_any_work_and_before_a_training(tmp_path: Path) -> None:
    wrong = {"execution": {"accelerate": str(tmp_path / "none.yaml")}}
    with pytest.raises(PolicyFault, match=r"execution\.accelerate: there is no file .*none\.yaml"):
        folder(tmp_path, **wrong)
    with pytest.raises(PolicyFault, match=r"execution\.accelerate: there is no file"):
        preflight(check(wrong, "test"))
    preflight(check({}, "test"))
