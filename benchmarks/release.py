"""Step rewards as computed by the code released with the paper: the baseline of `benchmarks.rollouts`.

Episodes are played one after another. For every step of every task, the expert's turn and the explored turn get N
rollouts each, before any filter. Every rollout resets the environment and replays the whole prefix. Plain `generate` at
batch size 1 writes every turn, from the whole history (its key-value cache lasts one turn only).

Two things are left out in its favour: explored turns at step 0 (eq. 5 has no reference there), and turns that ended the
episode (their value is known).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from configs.schema import FactoryConfig
from environments.base import Task
from environments.complete import CompleteWorld
from models.policy import History, Sampling
from models.prompts import messages
from rollouts.play import EpisodeSettings, end_of, seed_of
from rollouts.prompting import briefing_of
from rollouts.rows import demonstrations, explorations
from steca.types import Step
from storage.records import Record


@dataclass(frozen=True, slots=True)
class Draw:
    """One rollout to play: the turns to replay, of which the last is scored, and its seed."""

    task: Task
    texts: tuple[str, ...]
    seed: int


def draws(records: Sequence[Record], rollouts: int) -> list[Draw]:
    """Every rollout that the released code plays for these demonstrations and explorations."""
    found, runs = [], explorations(records)
    for demo in demonstrations(records):
        expert = tuple(step.text for step in demo.expert.trajectory.steps)
        scored = [expert[: step + 1] for step in range(len(expert) - 1)]
        for step in range(1, len(expert)):
            run = runs.get(demo.task.task_id, {}).get(step)
            if run is None and step + 1 < len(
                expert
            ):  # the policy wrote the expert's turn: scored all the same
                scored.append(expert[: step + 1])
            elif run is not None and step + 1 < len(run.trajectory.steps):
                scored.append((*expert[:step], run.trajectory.steps[step].text))
        found += [
            Draw(demo.task, texts, seed_of("release", demo.task.task_id, number, sample))
            for number, texts in enumerate(scored)
            for sample in range(rollouts)
        ]
    return found


class Release:
    """Plays one rollout after another."""

    def __init__(self, world: CompleteWorld, model: Any, tokenizer: Any, config: FactoryConfig) -> None:
        self._world = world
        self._model, self._tokenizer = model, tokenizer
        self._settings = EpisodeSettings(config.environment, config.policy.prompt)
        rewards = config.rewards
        self._sampling = Sampling(rewards.temperature, rewards.top_p, config.policy.max_turn_tokens)

    def rollout(self, draw: Draw) -> list[Step]:
        """The steps of the whole episode: the replayed ones, then those of the rollout."""
        torch.manual_seed(draw.seed)
        first, self._state = self._world.begin(draw.task)
        briefing = briefing_of(self._world, draw.task, self._settings.style)
        steps: list[Step] = []
        for text in draw.texts:
            end = self._step(steps, text)
        while end == "running":
            end = self._step(steps, self._turn(messages(first, steps, briefing)))
        return steps

    def _step(self, steps: list[Step], text: str) -> str:
        thought, action = parsed = self._world.form.parse(text) or ("", "")
        result, self._state = self._world.advance(self._state, action if any(parsed) else None)
        steps.append(Step(text, thought, action, result.observation, result.valid, "policy"))
        return end_of(steps, result.done, self._settings.environment.step_cap, self._settings)

    @torch.inference_mode()
    def _turn(self, history: History) -> str:
        text = self._tokenizer.apply_chat_template(history, tokenize=False, add_generation_prompt=True)
        inputs = self._tokenizer(text, return_tensors="pt", add_special_tokens=False)
        sampled = self._sampling.temperature > 0
        chance = {"temperature": self._sampling.temperature, "top_p": self._sampling.top_p, "top_k": 0}
        out = self._model.generate(
            **inputs,
            do_sample=sampled,
            max_new_tokens=self._sampling.max_tokens,
            pad_token_id=self._tokenizer.pad_token_id,
            **(chance if sampled else {}),
        )
        new = out[0, inputs["input_ids"].shape[1] :]
        return str(self._tokenizer.decode(new, skip_special_tokens=True))
