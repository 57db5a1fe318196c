"""`seed: next`: a scheduled run makes new data, because its seed is one that no run like it has used."""

from __future__ import annotations

from configs.cache_inputs import run_id_settings
from configs.schema import FactoryConfig
from flows.reporting.flow_run import current_flow_run
from flows.runs.run import root_of
from storage.runs import list_runs

LABEL = "steca.seed"
"""Label of a flow run: the seed that it got. A retry keeps it."""


def with_next_seed(config: FactoryConfig) -> FactoryConfig:
    """The configuration with one more than the largest seed of the runs that differ from it in nothing else; with its
    own seed where there is none. A retry of a flow run gets the seed of its first attempt. Raises StorageFault."""
    seed = _of_first_attempt()
    if seed is None:
        seed = next_seed(config)
        _remember(seed)
    return config.model_copy(update={"seed": seed})


def next_seed(config: FactoryConfig) -> int:
    """One more than the largest seed of the runs in the data folder with these settings, else the configured one."""
    wanted = run_id_settings(config) | {"seed": None}
    used = [
        int(run.config["seed"])
        for run in list_runs(root_of(config))
        if run.name == config.name and run.config | {"seed": None} == wanted
    ]
    return max(used, default=config.seed - 1) + 1


def _of_first_attempt() -> int | None:
    run = current_flow_run()
    label = run.labels.get(LABEL) if run else None
    return None if label is None else int(label)


def _remember(seed: int) -> None:
    from prefect.client.orchestration import get_client

    run = current_flow_run()
    if run is None:
        return
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(run.id, {LABEL: seed})
