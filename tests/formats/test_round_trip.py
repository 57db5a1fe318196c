"""What is exported and imported again gives the same demonstrations, with the same ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from configs.schema import FactoryConfig
from environments.registry import open_world
from flows.work.planning import planned
from formats.importing.files import files_in
from formats.importing.importing import import_runs
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


@pytest.mark.parametrize("name", ["atif", "hf-traces"])
def test_expert_runs_are_the_same_after_export_and_import(
    name: str, finished: FactoryConfig, tmp_path: Path
) -> None:
    words = ["export", name, "--out", str(tmp_path / name), "--data-dir", str(finished.data_dir)]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    out = tmp_path / "runs.jsonl"
    world = open_world(finished.environment)
    parts = planned(world, finished)
    with WrittenRuns(out) as written:
        files = files_in([tmp_path / name / "data"])
        import_runs(files, world, Matcher(world, parts, PARTS), EpisodeSettings.of(finished), written)
    named = finished.environment.model_copy(update={"demonstrations": out})
    again = open_world(named)
    assert again.recordings
    tasks = [
        task for part in PARTS for task in parts.get(part, ()) if again.recordings.find(task, "", again.same)
    ]
    found = of_type(demonstrate(again, tasks, finished), TrajectoryRecord)
    [stored] = zip(*Store(Path(finished.data_dir)).query(EXPERTS)[1], strict=True)
    assert {one.trajectory_id for one in found} == set(stored)
