"""What people set in the UI stays when the same deployments are registered again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.schedules import CronSchedule

from flows.deployments.offered import Offer, offers
from flows.deployments.refreshing import kept_current
from flows.deployments.registering import register, registered_elsewhere
from flows.runs.run import folder_of, open_run, run_id
from flows.server.polling import WorkerPolling
from tests.conftest import offered_configs
from tests.flows.reporting.test_progress import wait_for
from tests.support.tiny_factory import ROOT, tiny


@pytest.fixture
def client(prefect_api: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as made:
        yield made


@pytest.fixture
def offer(tmp_path: Path) -> Offer:
    """The tiny configuration under a name of its own, so that the shared server's deployment stays as it is."""
    found = offers(tmp_path / "data", offered_configs(tmp_path / "configs"))[0][0]
    return replace(found, name=f"tiny-{uuid4().hex[:6]}")


def known(client: SyncPrefectClient, offer: Offer) -> Any:
    return client.read_deployment_by_name(f"factory/{offer.name}")


def test_schedules_pauses_and_edits_survive(client: SyncPrefectClient, offer: Offer) -> None:
    register([offer], print)
    made = known(client, offer)
    client.create_deployment_schedules(made.id, [(CronSchedule(cron="0 2 * * *"), True)])
    client.update_deployment(
        made.id,
        DeploymentUpdate(parameters={**made.parameters, "rounds": 3, "budget_rollouts": 500}, paused=True),
    )

    said: list[str] = []
    register([replace(offer, defaults={**offer.defaults, "seen": 9})], said.append)
    again = known(client, offer)
    assert again.id == made.id
    assert [each.schedule.cron for each in again.schedules] == ["0 2 * * *"]
    assert again.schedules[0].active
    assert again.paused
    assert again.parameters["rounds"] == 3
    assert again.parameters["budget_rollouts"] == 500, "a field that was empty"
    assert again.parameters["seen"] == 9, "not edited, so it follows the file"
    assert sorted(said) == [
        f"{offer.name}: budget_rollouts stays 500, as edited in the UI",
        f"{offer.name}: rounds stays 3, as edited in the UI",
    ]


def test_deployments_of_a_work_pool_have_the_same_forms_and_keep_edits(
    client: SyncPrefectClient, offer: Offer
) -> None:
    served = register([replace(offer, name=f"{offer.name}-served")], print)[0]
    pool, said = f"pool-{uuid4().hex[:6]}", list[str]()
    for _ in range(2):
        WorkerPolling(pool, healthcheck=False).create_pool(said.append)
    assert said == [f"created the work pool {pool}"]

    register([offer], print, pool)
    made = known(client, offer)
    assert (made.work_pool_name, made.entrypoint) == (pool, "flows/factory.py:factory")
    assert made.pull_steps == [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}]
    assert made.parameter_openapi_schema == served._parameter_openapi_schema.model_dump(exclude_unset=True)
    edited = {**made.parameters, "rounds": 3}
    variables = {"env": {"OMP_NUM_THREADS": "4"}}
    client.update_deployment(made.id, DeploymentUpdate(parameters=edited, job_variables=variables))

    register([offer], print, pool)
    again = known(client, offer)
    assert (again.id, again.parameters, again.job_variables) == (made.id, edited, variables)


def test_deployments_that_are_registered_elsewhere_another_data_folder_are_known(
    client: SyncPrefectClient, offer: Offer
) -> None:
    register([offer], print)
    here, made = str(offer.defaults["data_dir"]), known(client, offer)
    assert registered_elsewhere([offer], here) == {}
    client.update_deployment(made.id, DeploymentUpdate(parameters={**made.parameters, "data_dir": "/edited"}))
    assert registered_elsewhere([offer], here) == {}, "what a person edited is no other folder"
    assert registered_elsewhere([offer], "/elsewhere") == {f"factory/{offer.name}": (made.id, here)}


def test_without_an_edit_everything_follows_the_file(client: SyncPrefectClient, offer: Offer) -> None:
    said: list[str] = []
    for seen in (3, 4):
        register([replace(offer, defaults={**offer.defaults, "seen": seen})], said.append)
        assert known(client, offer).parameters["seen"] == seen
    assert said == []


def test_a_new_run_and_an_edited_file_appear_in_the_forms(
    client: SyncPrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.deployments.refreshing.POLL_SECONDS", 0.2)
    folder, root = offered_configs(tmp_path / "configs"), tmp_path / "data"
    named = f"own-{uuid4().hex[:6]}"
    (folder / "tiny.yaml").rename(folder / f"{named}.yaml")
    offered = offers(root, folder)[0]
    register([each for each in offered if each.name == named], print)
    said, updated = list[str](), list[str]()

    def update(changed: list[Offer]) -> None:
        updated.extend(one.name for one in register(changed, print))

    with kept_current(root, folder, (offered, []), update, said.append):
        text = (folder / f"{named}.yaml").read_text()
        (folder / f"{named}.yaml").write_text(text.replace("seen: 2, unseen: 2", "seen: 5, unseen: 2"))
        wait_for(lambda: client.read_deployment_by_name(f"factory/{named}").parameters["seen"] == 5)
        wait_for(lambda: updated == [named])
        (folder / f"{named}-2.yaml").write_text(text)
        wait_for(lambda: updated == [named, f"{named}-2"])
        (folder / f"{named}-3.yaml").write_text("rewards: {rollots: 3}\n")
        wait_for(lambda: len(said) == 1)
        (folder / f"{named}-2.yaml").unlink()
        wait_for(lambda: len(said) == 2)
        (folder / f"{named}-2.yaml").write_text(text)
        wait_for(lambda: updated == [named, f"{named}-2", f"{named}-2"])
    problem, gone = said
    file = folder / f"{named}-2.yaml"
    assert (
        gone
        == f"{named}-2: its file {file} is gone, and its runs would fail: delete the deployment in the UI"
    )
    assert problem.startswith(f"not offered: {folder / named}-3.yaml: unknown field rewards.rollots")


def test_known_runs_can_be_chosen_the_newest_first(tmp_path: Path) -> None:
    for seed in (1, 2):
        config = tiny(tmp_path, f"seed={seed}")
        open_run(folder_of(config), config)
    [rewards] = [each for each in offers(tmp_path)[0] if each.name == "rerun-rewards"]
    newest, older = run_id(tiny(tmp_path, "seed=2")), run_id(tiny(tmp_path, "seed=1"))
    assert rewards.choices["run"] == ["newest", newest, older]


def test_a_file_that_cannot_be_used_is_named_and_the_others_are_offered(tmp_path: Path) -> None:
    folder = offered_configs(tmp_path / "configs")
    (folder / "wrong.yaml").write_text("rewards: {rollots: 3}\n")
    offered, problems = offers(tmp_path, folder)
    assert "tiny" in {each.name for each in offered}
    assert problems == [
        f"{folder / 'wrong.yaml'}: unknown field rewards.rollots; did you mean rewards.rollouts?"
    ]
