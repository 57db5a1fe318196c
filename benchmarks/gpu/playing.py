"""How fast a policy plays on the local engine, against plain `generate`, for `benchmarks.gpu`.

Episodes of generated ALFWorld games through `rollouts.play`, with the prompt of the configuration (one_shot) and TURNS
turns each: histories of about 900 to 1,400 tokens. The weights are random and write whole words until the limit of the
turn, so every turn has TURN_TOKENS tokens and no action is valid. A trained policy writes shorter turns of different
lengths, and reads longer answers of the world.

`generate` reads the whole history at every turn; the local engine only what is new. Then both answer the same
histories greedily. In bfloat16 the order of sums decides between tokens of nearly equal probability, so turns may
differ; how often `generate` differs from itself in batches of another size is reported beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.generation import PlainGenerate
from benchmarks.gpu.cases import CONFIG_OF, CONFIGS, Report, Scratch
from benchmarks.gpu.games import build_game_base, game_config, game_world, write_words_only
from benchmarks.gpu.memory import free_memory, peak_memory
from configs.schema import FactoryConfig
from models.checkpoint import load
from models.local.transformers_policy import TransformersPolicy
from models.policy import History, Policy, Sampling
from models.prompts import messages
from rollouts.play import EpisodeSettings, PlayedEpisode, play, start_of
from rollouts.prompting import briefing_of

TURN_TOKENS = 48
TURNS = 8
BATCHES = (16, 64)
FORMER_CACHE = 2**30
"""The cache that the local engine had on every device up to 0.3."""


@dataclass(frozen=True, slots=True)
class Playing:
    """A loaded model and the games that it plays."""

    model: Any
    tokenizer: Any
    config: FactoryConfig
    device: str

    def local(self, batch: int, cache_bytes: int | None = None) -> TransformersPolicy:
        return TransformersPolicy(self.model, self.tokenizer, "0" * 64, batch, cache_bytes)

    def generate(self, batch: int) -> PlainGenerate:
        return PlainGenerate(self.model, self.tokenizer, batch)

    def play(self, policy: Policy, count: int, turns: int, temperature: float = 1.0) -> list[PlayedEpisode]:
        """The first turns of `count` games."""
        world = game_world()
        starts = [start_of(world, task, seed) for seed, task in enumerate(world.tasks("train", count, 0))]
        sampling = Sampling(temperature, max_tokens=TURN_TOKENS)
        return play(world, policy, starts, sampling, EpisodeSettings.of(self.config, turns))

    def timed(self, engine: str, policy: Policy, batch: int, count: int, turns: int) -> Report:
        """Speed and memory of a policy with an empty cache."""
        free_memory()
        began = time.perf_counter()
        played = self.play(policy, count, turns)
        seconds = time.perf_counter() - began
        written = sum(len(run.trajectory.steps) for run in played)
        report = {
            "engine": engine,
            "batch": batch,
            "episodes": count,
            "turns": written,
            "history_tokens": history_tokens(self, played[0]),
            "seconds": round(seconds, 2),
            "turns_per_second": round(written / seconds, 2),
            "tokens_per_second": round(written * TURN_TOKENS / seconds, 1),
            **peak_memory(self.device),
        }
        print(report, flush=True)  # a case takes minutes
        return report


def measure_playing(shape: str, scratch: Scratch, steps: int) -> Report:
    """Speed of both engines, and how often they write the same greedy turns. `steps` is for trainings."""
    ref = scratch.base(shape, build_game_base)
    config = game_config(CONFIGS / f"{CONFIG_OF[shape]}.yaml")
    began = time.perf_counter()
    model, tokenizer = load(ref, scratch.device)
    loading = time.perf_counter() - began
    write_words_only(model, tokenizer)
    playing = Playing(model, tokenizer, config, scratch.device)
    batches, turns = ((2, 4), 3) if scratch.tiny else (BATCHES, TURNS)
    for policy in (playing.local(4), playing.generate(4)):  # the first calls load kernels
        playing.play(policy, 4, 1)
    runs = [playing.timed("local", playing.local(batch), batch, batch, turns) for batch in batches]
    runs += [playing.timed("generate", playing.generate(batch), batch, batch, turns) for batch in batches]
    former = playing.local(batches[0], FORMER_CACHE)
    return {
        "configuration": CONFIG_OF[shape],
        "prompt": config.policy.prompt,
        "turn_tokens": TURN_TOKENS,
        "loading_seconds": round(loading, 1),
        "runs": [*runs, playing.timed("local, cache of 1 GiB", former, batches[0], batches[0], 2)],
        "steps": [decoding_step(playing, batch) for batch in batches],
        "greedy": agreement(playing, batches, turns),
    }


def decoding_step(playing: Playing, batch: int) -> Report:
    """Milliseconds of one decoding step of the local engine; on a GPU also how many of them its kernels run."""
    world = game_world()
    starts = [start_of(world, task) for task in world.tasks("train", batch, 0)]
    style = playing.config.policy.prompt
    histories = [messages(s.first_observation, (), briefing_of(world, s.task, style)) for s in starts]

    def write(tokens: int) -> float:
        began = time.perf_counter()
        playing.local(batch).act(histories, range(batch), Sampling(1.0, max_tokens=tokens))
        return time.perf_counter() - began

    def kernels(tokens: int) -> float:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiled:
            write(tokens)
        return sum(event.self_device_time_total for event in profiled.key_averages()) / 1e6

    write(1)
    report = {"batch": batch, "step_ms": _each_step(write)}
    return report | ({"kernels_ms": _each_step(kernels)} if playing.device == "cuda" else {})


def _each_step(seconds_of: Callable[[int], float]) -> float:
    few, more = 1, 33
    return round((seconds_of(more) - seconds_of(few)) / (more - few) * 1e3, 2)


def history_tokens(playing: Playing, run: PlayedEpisode) -> list[int]:
    """The lengths of the first and of the last history of an episode."""
    histories = histories_of(playing, [run])
    template = playing.tokenizer.apply_chat_template
    texts = [template(h, tokenize=False, add_generation_prompt=True) for h in (histories[0], histories[-1])]
    return [len(playing.tokenizer(text)["input_ids"]) for text in texts]


def histories_of(playing: Playing, played: Sequence[PlayedEpisode]) -> list[History]:
    """The history before every turn of the episodes, episode by episode."""
    world = game_world()
    tasks = {task.task_id: task for task in world.tasks("train", len(played), 0)}
    found: list[History] = []
    for run in played:
        trajectory = run.trajectory
        briefing = briefing_of(world, tasks[trajectory.task_id], playing.config.policy.prompt)
        steps = trajectory.steps
        found += [messages(trajectory.first_observation, steps[:i], briefing) for i in range(len(steps))]
    return found


def agreement(playing: Playing, batches: Sequence[int], turns: int) -> Report:
    """Greedy turns of the local engine, as it played them, against those of `generate` for the same histories."""
    small, large = batches
    played = playing.play(playing.local(large), small, turns // 2, temperature=0.0)
    local = [step.text for run in played for step in run.trajectory.steps]
    histories = histories_of(playing, played)
    sampling, seeds = Sampling(max_tokens=TURN_TOKENS), range(len(histories))
    one, other = (
        [turn.text for turn in playing.generate(batch).act(histories, seeds, sampling)]
        for batch in (large, small)
    )
    return {
        "turns": len(local),
        "local engine as generate": share_of_equal(local, one),
        "generate in batches of two sizes": share_of_equal(one, other),
    }


def share_of_equal(some: Sequence[str], others: Sequence[str]) -> float:
    """The share of texts that are equal at the same place."""
    return round(sum(a == b for a, b in zip(some, others, strict=True)) / len(some), 4)
