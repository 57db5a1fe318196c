"""Which tasks a run uses for which purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from configs.schema import FactoryConfig
from environments.base import EnvironmentFault, Task
from environments.complete import CompleteWorld
from environments.identities import shared
from steca.vocabulary import TRAIN

WARMUP_PARTS = ("demonstrations", "shared")
EXPLORED_PARTS = ("exploration", "shared")


def planned(world: CompleteWorld, config: FactoryConfig) -> dict[str, list[Task]]:
    """Tasks by part: demonstrations (for the warm-up only), exploration, shared (both), and the evaluated splits.
    Raises EnvironmentFault if the world has too few, or if splits share one."""
    counts = config.tasks
    if counts.explore_demonstrated:
        train = world.tasks(TRAIN, counts.demonstrations, config.seed)
        both = min(counts.exploration, counts.demonstrations)
        # in the order of the tasks: a training sees its examples in the order of their batches
        parts = {"shared": train[:both], "demonstrations": train[both:]}
    else:
        train = world.tasks(TRAIN, counts.demonstrations + counts.exploration, config.seed)
        parts = {
            "demonstrations": train[: counts.demonstrations],
            "exploration": train[counts.demonstrations :],
        }
    tested = {
        split: world.tasks(split, counts.of(split), config.seed)
        for split in dict.fromkeys(config.evaluation.splits)
    }
    _refuse_shared(world, train, tested)
    return parts | tested


def _refuse_shared(world: CompleteWorld, train: Sequence[Task], tested: Mapping[str, Sequence[Task]]) -> None:
    """Held-out tasks stay held out."""
    others = [(split, tasks) for split, tasks in tested.items() if split != TRAIN]
    if found := shared([(TRAIN, train), *others]):
        one, other, task = found
        raise EnvironmentFault(
            f"world {world.name}: splits {one} and {other} share task {task!r}: give every split tasks of its own "
            "(`steca world check` tests it)"
        )


def in_batches(tasks: Sequence[Task], size: int) -> Iterator[Sequence[Task]]:
    """Batches of at most `size` tasks."""
    for start in range(0, len(tasks), size):
        yield tasks[start : start + size]
