"""Stage explore: the policy's own turn after every expert prefix, continued greedily (method section 2.2), and whole
runs that are sampled.

A greedy run is a function of its history. If the policy writes exactly the expert's turn after prefix j, its run from
j equals its run from j + 1. So only the run from scratch and runs whose first turn differs are played.
"""

from __future__ import annotations

from collections.abc import Sequence

from configs.schema import FactoryConfig
from environments.complete import CompleteWorld
from models.policy import Policy, Sampling
from rollouts.play import EpisodeSettings, PlayedEpisode, Start, execute, play, sampling_of, seed_of, start_of
from rollouts.rows import Demonstration, Sample, demonstrations, trajectory_records
from steca.vocabulary import Progress
from storage.records import Record


def prefix_starts(
    world: CompleteWorld, demonstration: Demonstration, settings: EpisodeSettings
) -> list[Start]:
    """The starts after 0..T-1 expert turns (T: the length of the expert's run)."""
    start = start_of(world, demonstration.task)
    texts = [step.text for step in demonstration.expert.trajectory.steps]
    played = execute(world, start, texts, "expert", settings)
    return [start, *(after.resume(demonstration.task) for after in played[:-1])]


def explore(
    world: CompleteWorld,
    policy: Policy,
    records: Sequence[Record],
    config: FactoryConfig,
    progress: Progress | None = None,
) -> list[Record]:
    """Rows of the run from scratch of every demonstrated task, and of each run from prefix j >= 1 whose first turn
    differs from the expert's. `prefix_steps` is j."""
    demos = demonstrations(records)
    settings = EpisodeSettings.of(config)
    starts = [start for demo in demos for start in prefix_starts(world, demo, settings)]
    expert_text = {
        (demo.task.task_id, j): step.text
        for demo in demos
        for j, step in enumerate(demo.expert.trajectory.steps)
    }
    greedy = sampling_of(config)
    probes = play(world, policy, starts, greedy, EpisodeSettings.of(config, turns=1))
    distinct = [
        (start, probe)
        for start, probe in zip(starts, probes, strict=True)
        if not start.steps
        or probe.trajectory.steps[-1].text != expert_text[start.task.task_id, len(start.steps)]
    ]
    return _finish(world, policy, distinct, greedy, settings, progress)


def _finish(
    world: CompleteWorld,
    policy: Policy,
    probed: Sequence[tuple[Start, PlayedEpisode]],
    sampling: Sampling,
    settings: EpisodeSettings,
    progress: Progress | None,
) -> list[Record]:
    """Play the probed runs to their ends. A run's prefix stays the expert's turns, without the probed one."""
    running = [probe.resume(start.task) for start, probe in probed if probe.trajectory.end == "running"]
    rest = iter(play(world, policy, running, sampling, settings, progress))
    records: list[Record] = []
    for start, probe in probed:
        run = next(rest) if probe.trajectory.end == "running" else probe
        records += trajectory_records(run.with_prefix(len(start.steps)), "explored", policy.digest)[1]
    return records


def sample_runs(
    world: CompleteWorld,
    policy: Policy,
    records: Sequence[Record],
    config: FactoryConfig,
    index: int,
    progress: Progress | None = None,
) -> list[Record]:
    """Rows of one sampled run of every demonstrated task, from its start to its end. `index` is the run's place among
    the samples of its task: runs with different indices have different random streams."""
    temperature = config.exploration.temperature
    starts = [
        start_of(world, demo.task, seed_of("sampled", config.seed, policy.digest, demo.task.task_id, index))
        for demo in demonstrations(records)
    ]
    sampling = sampling_of(config, temperature)
    played = play(world, policy, starts, sampling, EpisodeSettings.of(config), progress)
    return [
        row
        for start, run in zip(starts, played, strict=True)
        for row in trajectory_records(run, "sampled", policy.digest, Sample(index, temperature, start.seed))[
            1
        ]
    ]
