"""What the work of a run needs: its data folder, its world, and the models that it opens."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any

from configs.cache_inputs import cache_key_settings, restricted_config
from configs.calibration import CalibrationConfig, JudgeConfig
from configs.schema import ExecutionConfig, FactoryConfig
from configs.servers import PriceConfig
from environments.complete import CompleteWorld
from environments.registry import open_world
from models.checkpoint_ref import CheckpointRef, reference
from models.judges.judge import Judge
from models.policy import Generation, History, Policy, PolicyFault, Sampling
from models.reflectors.reflector import Reflector
from models.stopping import Stoppable, Stopped
from models.turn_queue import TurnQueue, turn_queue_of
from storage.rollout_pool import RolloutPool
from storage.shards import BatchRef, ShardStore
from tasks.call_log import SharedCallLog
from tasks.resources.batches_030 import batches_of_030
from tasks.resources.policy_servers import PolicyServers


class RunResources:
    """Holds only what cannot change a result: the bodies of stages get their settings through `Batch.config`. Not a
    dataclass, because Prefect would walk through the fields of one."""

    def __init__(
        self,
        config: FactoryConfig,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """`log` is called with a line on what is worth reporting, such as the start of a server."""
        self._config = config
        self.root = config.data_dir.expanduser().resolve()
        self.shards = ShardStore(self.root)
        self.log = log or (lambda line: None)
        self.servers = PolicyServers(config, self.root, self.log)
        self._world: CompleteWorld | None = None
        self._policy: Policy | None = None
        self._scorers: dict[str, Path] = {}
        self._reflector: Reflector | None = None
        self._judge: Judge | None = None
        self._pools: dict[tuple[str, bool], RolloutPool] = {}
        self._policy_open, self._reflector_open = ExitStack(), ExitStack()
        self._opening = RLock()
        self._stopped = False

    @property
    def execution(self) -> ExecutionConfig:
        return self._config.execution

    @property
    def prices(self) -> Mapping[str, PriceConfig]:
        """Prices of language models, by their names."""
        return self._config.budget.prices

    @property
    def base(self) -> Path | None:
        """The folder of the configured base model. Its digest is an input of the batch that starts from it."""
        return self._config.policy.base

    @property
    def world(self) -> CompleteWorld:
        """One for all batches, opened when it is needed."""
        with self._opening:
            if self._world is None:
                self._world = open_world(self._config.environment)
            return self._world

    def world_failures(self) -> list[str]:
        """What to say of the world's failures so far; nothing if there were none, or it was not needed."""
        return self._world.failures.told() if self._world else []

    def begin_tasks(self, tasks: Collection[str]) -> None:
        """These tasks are played from their beginning (`environments.states.attempts.Failures`)."""
        if self._world:
            self._world.failures.begin(tasks)

    def unfinished_of(self, tasks: Collection[str]) -> set[str]:
        """Which of these tasks lost an episode to a failed connection."""
        return self._world.failures.unfinished_of(tasks) if self._world else set()

    @cached_property
    def batches_of_030(self) -> dict[str, BatchRef]:
        """The batches of version 0.3.0 in the data folder, by id."""
        return batches_of_030(self.root)

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    def restricted_config(self, reads: Sequence[str]) -> FactoryConfig:
        """A configuration with only the settings that a stage declared."""
        return restricted_config(self._config, reads)

    def settings(self, reads: Sequence[str]) -> dict[str, Any]:
        """The declared settings as JSON values, for the cache key."""
        reads_options = bool(self._config.environment.options) and "environment" in reads
        return cache_key_settings(self._config, reads, self.world.connection_options if reads_options else ())

    def scorer(self) -> str | None:
        """The digest of the model in `rewards.scorer`, which from then on is found by it; None if the warm-up policy
        scores. Raises PolicyFault if the folder holds no model."""
        folder = self._config.rewards.scorer
        if folder is None:
            return None
        found = reference(folder)
        self._scorers[found.digest] = found.path
        return found.digest

    @property
    def scorers(self) -> Mapping[str, Path]:
        """The folders of models outside of the data folder, by digest."""
        return self._scorers

    def add_scorers(self, found: Mapping[str, Path]) -> None:
        """These models were found by another process."""
        self._scorers.update(found)

    def checkpoint(self, digest: str) -> CheckpointRef:
        """A checkpoint of the data folder, or the scorer."""
        return CheckpointRef(self._scorers.get(digest, self.checkpoints / digest[:16]), digest)

    def policy(self, digest: str) -> Policy:
        """The checkpoint as a policy that is loaded when it first acts, and raises PolicyFault then."""
        return LazyPolicy(digest, self._load)

    def _load(self, digest: str) -> Policy:
        """Load a policy; the last one stays loaded. Batches that run at once share it. Raises Stopped."""
        with self._opening:
            self.check_stopped()
            if self._policy is None or self._policy.digest != digest:
                self._check_scorer(digest)
                self._policy = None  # two models at once may not fit
                self._policy_open.close()
                self._policy = self._opened(self.checkpoint(digest))
            return self._policy

    def _check_scorer(self, digest: str) -> None:
        """Raises PolicyFault if the policy is the scorer, and its folder has changed since the stage began: results are
        stored under the digest of that time."""
        folder = self._scorers.get(digest)
        if folder and (found := reference(folder).digest) != digest:
            raise PolicyFault(
                f"rewards.scorer {folder} has changed since the stage began (its digest was {digest[:16]} and is "
                f"{found[:16]}): make sure that nothing writes to it, and run again"
            )

    def _opened(self, ref: CheckpointRef) -> Policy:
        if self._config.policy.engine == "openai":
            served = self.servers.policy(ref)
            self._policy_open.callback(served.close)
            return served
        from models.local.device import release_memory
        from models.local.transformers_policy import TransformersPolicy

        self.use_threads()
        self._policy_open.callback(release_memory)
        return TransformersPolicy.from_checkpoint(ref, self.execution.device)

    def reflector(self, config: CalibrationConfig, world: CompleteWorld) -> Reflector:
        """The configured reflector, which writes the reflections."""
        from tasks.resources import reflectors

        if config.reflector == "template":
            return reflectors.template_reflector(world)
        with self._opening:
            if self._reflector is None:
                call_log, where = SharedCallLog(self.root), self.execution.reflector
                model = reflectors.llm_reflector(config, where, world, call_log, self.log)
                self._reflector_open.callback(model.close)
                self._reflector = model
            return self._reflector

    def self_reflector(self, config: FactoryConfig, policy: Policy, world: CompleteWorld) -> Reflector:
        """The policy as its own reflector."""
        from tasks.resources import reflectors

        return reflectors.policy_reflector(config, policy, world, self.log)

    def judge(self, config: JudgeConfig) -> Judge:
        """The language model that says which turns are bad."""
        from tasks.resources import reflectors

        with self._opening:
            if self._judge is None:
                call_log = SharedCallLog(self.root)
                model = reflectors.llm_judge(config, self.execution.reflector, call_log, self.log)
                self._reflector_open.callback(model.close)
                self._judge = model
            return self._judge

    def stop(self) -> None:
        """End the batches that wait for a model, from another thread: they raise Stopped."""
        self._stopped = True
        for model in (self._policy, self._reflector, self._judge):
            if isinstance(model, Stoppable):
                model.stop()

    def check_stopped(self) -> None:
        """Raises Stopped after `stop`."""
        if self._stopped:
            raise Stopped

    def close(self) -> None:
        """Release models, connections and servers."""
        self._policy = self._reflector = self._judge = None
        self._policy_open.close()
        self.servers.close()
        self._reflector_open.close()
        if self._world:
            self._world.close()

    def rollout_pool(self, scorer: str, fresh: bool) -> RolloutPool:
        """The rollout pool of a scorer. There is one for each scorer, so that a forced stage that resumes a batch
        uses the rollouts that it has played itself."""
        with self._opening:
            if (scorer, fresh) not in self._pools:
                self._pools[scorer, fresh] = RolloutPool(self.root, scorer, self.log, fresh, self._wait)
            return self._pools[scorer, fresh]

    def _wait(self, seconds: float) -> None:
        """Wait for another batch. Raises Stopped."""
        self.check_stopped()
        time.sleep(seconds)

    def use_threads(self) -> None:
        """Set torch to the configured number of threads."""
        if self.execution.threads:
            import torch

            torch.set_num_threads(self.execution.threads)


@dataclass(frozen=True)
class LazyPolicy:
    """A policy known by its digest and loaded when it first acts. A batch that finds all its rollouts never loads
    it."""

    digest: str
    load: Callable[[str], Policy]

    def act(self, histories: Sequence[History], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        return self.load(self.digest).act(histories, seeds, sampling)

    def turn_queue(self, sampling: Sampling) -> TurnQueue:
        return turn_queue_of(self.load(self.digest), sampling)
