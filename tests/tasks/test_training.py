"""The work of a training batch: from the base that was asked for, alone with its state; and a training that did
nothing is named."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.load import check
from configs.stages import STAGES
from models.checkpoint_ref import CheckpointRef, reference
from models.policy import PolicyFault
from models.training.examples import PreferencePair
from steca.preferences import PreferenceLoss
from steca.vocabulary import PolicyRole
from tasks.batch import Batch
from tasks.preflight import preflight
from tasks.resources.run_resources import RunResources
from tasks.train_bodies import _alone, _base, _state_folder, _train
from tests.support.policy_toys import examples, untrained
from tests.support.preference_toys import pairs, preferences
from tests.support.tiny_factory import ROOT

BASE = CheckpointRef(Path("base"), "0" * 64)


def batch_of(root: Path, inputs: dict[str, Any], said: list[str] | None = None, **config: Any) -> Batch:
    given = check({"data_dir": str(root), "execution": {"device": "cpu"}, **config}, "test")
    return Batch(inputs, {}, RunResources(given, log=(said if said is not None else []).append), given)


def folder(
    root: Path, round: str = "1", base: CheckpointRef = BASE, weight: float = 1.0, **config: Any
) -> Path:
    batch = batch_of(root, {"round": round}, **config)
    given = [replace(example, weight=weight) for example in examples(2)]
    return _state_folder(batch, base, given, batch.config.training)


def test_equal_trainings_share_their_states_and_no_others_do(tmp_path: Path) -> None:
    mine = folder(tmp_path)
    assert mine == folder(tmp_path)
    assert mine == folder(tmp_path, round="2"), "the same training, whichever round asks for it"
    assert mine.parent == tmp_path / "training"
    plain = tmp_path / "plain.yaml"
    plain.write_text("distributed_type: MULTI_GPU\n")
    others = [
        folder(tmp_path, weight=0.5),
        folder(tmp_path, base=CheckpointRef(Path("base"), "1" * 64)),
        folder(tmp_path, seed=1),
        folder(tmp_path, training={"learning_rate": 1e-5}),
        folder(tmp_path, execution={"processes": 2}),
        folder(tmp_path, execution={"accelerate": str(plain)}),
    ]
    assert len({mine, *others}) == 7


HOLDER = """
import sys
from pathlib import Path
from tasks.train_bodies import _alone
with _alone(Path(sys.argv[1]), Path(sys.argv[2]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_never_do_the_same_training_at_once(tmp_path: Path) -> None:
    """The second waits, says so, and goes on when the first has ended, however it ended."""
    state, said, entered = tmp_path / "training" / "abc", [], threading.Event()

    def second() -> None:
        with _alone(state, tmp_path, said.append):
            entered.set()

    first = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state), str(tmp_path)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with _alone(state.with_name("other"), tmp_path, said.append):
            assert said == [], "another training need not wait"
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not entered.wait(0.5)
        assert said == ["another process runs the same training in this data folder; waiting until it ends"]
    finally:
        first.kill()
        first.wait()
    waiting.join(60)
    assert entered.is_set()


def copied(ref: CheckpointRef, folder: Path) -> Path:
    shutil.copytree(ref.path, folder)
    return folder


def test_a_base_that_changed_since_the_stage_began_is_refused(tmp_path: Path) -> None:
    """The checkpoint would be filed under the digest of another model."""
    model = copied(untrained(), tmp_path / "base")
    batch = batch_of(tmp_path, {"base": reference(model).digest}, policy={"base": str(model)})
    assert _base(batch, []).path == model
    (model / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(
        PolicyFault, match=r"policy\.base .*base has changed since the stage began .*run again"
    ):
        _base(batch, [])


def test_a_training_from_preferences_has_a_state_folder_and_figures_of_its_own(tmp_path: Path) -> None:
    settings = {"steps": 3, "batch_size": 2, "learning_rate": 1e-3}
    batch = batch_of(tmp_path, {"round": "1", "base": ""}, training=settings)
    config, cache = batch.config.training, tmp_path / "training" / "references"
    swapped = [PreferencePair(p.name, p.rejected, p.chosen) for p in pairs(4)]
    data = preferences(pairs(4), cache)
    others = [
        preferences(swapped, cache),
        preferences(pairs(4), cache, CheckpointRef(Path("base"), "1" * 64)),
        preferences(pairs(4), cache, loss=PreferenceLoss(beta=0.2)),
        preferences(pairs(4), cache, loss=PreferenceLoss(0.1, 1.0)),
        [example for pair in pairs(4) for example in (pair.chosen, pair.rejected)],
    ]
    folders = {_state_folder(batch, BASE, given, config) for given in [data, *others]}
    assert len(folders) == 6
    assert _state_folder(batch, BASE, preferences(pairs(4), tmp_path), config) in folders
    row = _train(batch, untrained(), data, config, "trained", None)
    assert (row.examples, row.steps, len(list(cache.iterdir()))) == (4, 3, 1)
    assert row.preference_accuracies is not None
    assert row.preference_margins is not None
    assert len(row.preference_accuracies) == len(row.preference_margins) == 3
    assert row.preference_margins[-1] > 0
    likely = _train(batch, untrained(), others[-1], config, "trained", None)
    assert (likely.preference_accuracies, likely.preference_margins) == (None, None)


@pytest.mark.parametrize(
    ("role", "weight", "rate", "line"),
    [
        ("warmup", 1.0, 1e-30, "stage warmup .* 1e-30, is too small for float32; raise warmup.learning_rate"),
        ("trained", 1.0, 1e-30, "stage train .* is too small for float32; raise training.learning_rate"),
        ("trained", 0.0, 1e-3, "stage train .* every gradient was 0, .* datasets.weighting"),
        ("trained", 1.0, 1e-3, None),
    ],
)
def test_a_training_that_changed_nothing_is_named_and_recorded(
    tmp_path: Path, role: PolicyRole, weight: float, rate: float, line: str | None
) -> None:
    said: list[str] = []
    settings = {"steps": 2, "batch_size": 2, "learning_rate": rate}
    batch = batch_of(tmp_path, {"round": "1", "base": ""}, said, training=settings)
    given = [replace(example, weight=weight) for example in examples(4, 1)]
    row = _train(batch, untrained(), given, batch.config.training, role, untrained().digest)
    assert (row.role, row.steps, row.parent) == (role, 2, untrained().digest)
    if line is None:
        assert said == []
        return
    (told,) = said
    assert re.fullmatch(f"{line}.*", told)
    assert "changed no weight, so its checkpoint equals the model that it started from: " in told
    assert not (tmp_path / "training").exists() or not any((tmp_path / "training").iterdir())


def test_a_missing_file_for_accelerate_is_told_before_any_work_and_before_a_training(tmp_path: Path) -> None:
    wrong = {"execution": {"accelerate": str(tmp_path / "none.yaml")}}
    with pytest.raises(PolicyFault, match=r"execution\.accelerate: there is no file .*none\.yaml"):
        folder(tmp_path, **wrong)
    with pytest.raises(PolicyFault, match=r"execution\.accelerate: there is no file"):
        preflight(check(wrong, "test"))
    preflight(check({}, "test"))


def test_a_missing_key_of_a_judge_is_told_before_any_work_that_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for judged in ({"deviation": {"preset": "judge"}}, {"judge": {"ask": "always"}}):
        with pytest.raises(PolicyFault, match=r"execution\.reflector.*OPENAI_API_KEY"):
            preflight(check(judged, "test"), ["rewards"], quick=True)
        preflight(check(judged, "test"), ["explore", "calibrate"], quick=True)
    preflight(check({"judge": {"model": "m"}}, "test"), ["rewards"], quick=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_told_before_any_work_that_needs_it() -> None:
    config = check({"execution": {"device": "cuda"}}, "test")
    for stages in (STAGES, ["train"], ["explore"]):
        with pytest.raises(
            PolicyFault, match=r"execution\.device is cuda, but this machine has no CUDA device"
        ):
            preflight(config, stages)
    preflight(config, ["demonstrate"])
    preflight(config, ["calibrate"])
    itself = check({"execution": {"device": "cuda"}, "calibration": {"reflector": "policy"}}, "test")
    with pytest.raises(PolicyFault, match=r"execution\.device is cuda"):
        preflight(itself, ["calibrate"])  # the policy reflects
    served = check(
        {
            "execution": {"device": "cuda", "server": {"base_urls": ["http://127.0.0.1:1/v1"]}},
            "policy": {"engine": "openai"},
        },
        "test",
    )
    preflight(served, ["explore"])
