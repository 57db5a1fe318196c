"""What is exported and imported again gives the same demonstrations, with the same ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from configs.schema import FactoryConfig
from environments.base import EnvironmentFault
from environments.registry import open_world
from flows.work.planning import planned
from formats.importing.files import files_in
from formats.importing.importing import Imported, import_runs
from formats.importing.matching import Matcher
from formats.importing.written import WrittenRuns
from rollouts.play import EpisodeSettings
from rollouts.rows import of_type
from rollouts.stages.demonstrate import demonstrate
from storage.records import TrajectoryRecord
from storage.store import Store

PARTS = ("demonstrations", "exploration", "shared")
EXPERTS = """
SELECT trajectory_id FROM trajectories JOIN tasks USING (task_id) WHERE kind = 'expert' AND split = 'train' AND success
"""
OF_SET = "SELECT DISTINCT trajectory_id FROM training_examples WHERE dataset = 'expert'"
"""Examples are of demonstrated tasks: the expert's runs of the others are in traces only."""


def exported(name: str, finished: FactoryConfig, folder: Path, *more: str) -> Path:
    words = ["export", name, "--out", str(folder / name), "--data-dir", str(finished.data_dir), *more]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    return folder / name


def imported(path: Path, finished: FactoryConfig, out: Path) -> Imported:
    world = open_world(finished.environment)
    matcher = Matcher(world, planned(world, finished), PARTS)
    files = files_in([path])
    with WrittenRuns(out) as written:
        return import_runs(files, world, matcher, EpisodeSettings.of(finished), written)


@pytest.mark.parametrize("inside", ["", "data"])
@pytest.mark.parametrize("name", ["atif", "hf-traces", "parquet"])
def test_expert_runs_are_the_same_after_export_and_import(
    name: str, inside: str, finished: FactoryConfig, tmp_path: Path
) -> None:
    out = tmp_path / "runs.jsonl"
    found = imported(exported(name, finished, tmp_path) / inside, finished, out)
    assert found.set_aside["not expert"] > 0
    assert not found.set_aside["no run"]
    world = open_world(finished.environment)
    parts = planned(world, finished)
    named = finished.environment.model_copy(update={"demonstrations": out})
    again = open_world(named)
    assert again.recordings
    tasks = [
        task for part in PARTS for task in parts.get(part, ()) if again.recordings.find(task, "", again.same)
    ]
    found = of_type(demonstrate(again, tasks, finished), TrajectoryRecord)
    [stored] = zip(
        *Store(Path(finished.data_dir)).query(OF_SET if name == "parquet" else EXPERTS)[1], strict=True
    )
    assert {one.trajectory_id for one in found} == set(stored)


@pytest.mark.parametrize("name", ["calibrated", "expert_suffix"])
def test_examples_of_other_sets_are_no_demonstrations(
    name: str, finished: FactoryConfig, tmp_path: Path
) -> None:
    found = imported(
        exported("parquet", finished, tmp_path, "--sets", name), finished, tmp_path / "runs.jsonl"
    )
    assert found.kept == 0
    assert set(found.set_aside) == {"not expert"}


def test_an_export_that_does_not_say_whose_a_run_is_is_refused(
    finished: FactoryConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported("llamafactory-sft", finished, tmp_path, "--context", "split")
    monkeypatch.chdir(folder / "data")
    [file] = Path().iterdir()
    for path in (folder, folder / "data", file):
        with pytest.raises(
            EnvironmentFault, match="was made by `steca export llamafactory-sft`, a format that "
        ):
            files_in([path])
    moved = file.rename(tmp_path / "elsewhere.json")
    assert files_in([moved]) == [moved]


def test_an_export_of_the_experts_runs_alone_may_have_any_format(
    finished: FactoryConfig, tmp_path: Path
) -> None:
    folder = exported("openai-sft", finished, tmp_path, "--sets", "expert")
    found = imported(folder, finished, tmp_path / "runs.jsonl")
    assert found.kept == found.read > 0
