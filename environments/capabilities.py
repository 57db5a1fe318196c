"""What a world or an environment may provide besides its four methods. Each is found by its methods (`isinstance`), and
each has a default (`environments/complete.py`).

| capability | where | without it |
| --- | --- | --- |
| Snapshots | environment | a state is its actions: they are played again in another environment, answers compared |
| MeasuresProgress | environment | progress is the last reward |
| AdmitsActions | environment | `policy.constrain: admissible` is refused |
| Expert | environment | demonstrations are recorded ones only |
| Planner | environment | repairs use the expert's remaining turns only |
| Closes | environment, world | nothing is closed |
| Recorded | world | `environment.demonstrations` in the configuration, or the expert |
| Briefs | world | `environment.briefing` in the configuration; no worked example |
| Reflects | world | a general sentence about the last action and its answer |
| ChecksGrounding | world | a general check of names, numbers and quotations |
| HasVocabulary | world | a small policy's tokens are all learned from the training texts |
| Compares | world | two observations are the same if they are equal |
| HasSplits | world | train, validation, seen, unseen |
| CapsSteps | world | `environment.step_cap` for every task |
| HasTools | world | one tool, `act(command)`, for `environment.action_format: tool_call` |
| Remarks | world | nothing is said about the listed tasks |
| ReadsData | world | `version` and the tasks say all |

A world may also set attributes:

| attribute | meaning | without it |
| --- | --- | --- |
| `name` | its name in the store | the configured name |
| `version` | text; another one makes every cached result invalid (see below) | the digest of its source files |
| `ids_cover_data` | ids change with the data of their tasks: they stay as they are | they get a digest of it |
| `live_environments` | most environments at a time, and so most running episodes | 512 |
| `blocking` | its environments wait for something outside of Python (HTTP, a JVM): step them in threads | False |
| `no_action` | the answer to a turn without an action | a sentence that shows the form |

Raise a version whenever the same task and actions may give another result: changed rules, texts, experts or tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from environments.base import Task
from steca.action_formats import ActionFormat
from steca.types import Step, Turn


@runtime_checkable
class Snapshots(Protocol):
    """Environment: its state can be taken out and put back."""

    def snapshot(self) -> object:
        """The episode's state, cheap and immutable: later steps do not change it. It can be restored any number of
        times, in any environment of the world."""
        ...

    def restore(self, snapshot: object) -> None: ...


@runtime_checkable
class MeasuresProgress(Protocol):
    """Environment: how near the goal is."""

    def progress(self) -> float:
        """Share of the goal's conditions that hold now (or have held, if once is enough), in [0, 1]; 1.0 exactly when
        the goal is reached."""
        ...


@runtime_checkable
class AdmitsActions(Protocol):
    """Environment: it can list what may be done."""

    def admissible_actions(self) -> list[str]:
        """Every action that the world accepts now, sorted."""
        ...


@runtime_checkable
class Expert(Protocol):
    """Environment: it can play demonstrations."""

    def expert_turn(self, first_observation: str, steps: Sequence[Step]) -> Turn | None:
        """The expert's next turn for any history, also one with mistakes. It uses only what the agent could have seen.
        None if it has no next turn."""
        ...


@runtime_checkable
class Planner(Protocol):
    """Environment: it can plan a repair."""

    def plan_repair(self) -> list[Turn] | None:
        """A short plan to the goal from the current state, as turns with grounded thoughts. It may use hidden state.
        None if the goal cannot be reached."""
        ...


@runtime_checkable
class Closes(Protocol):
    """Environment or world: it holds something that has to be given back (a process, a connection)."""

    def close(self) -> None: ...


@runtime_checkable
class Recorded(Protocol):
    """World: it has recorded expert runs."""

    def demonstration(self, task: Task) -> list[Turn] | None:
        """The task's recorded expert run, with grounded thoughts. None if it has none: then the environment's expert
        plays the demonstration, if it has one."""
        ...


@runtime_checkable
class Briefs(Protocol):
    """World: it can tell a chat model how to act."""

    def briefing(self, task: Task, example: bool, form: ActionFormat) -> str:
        """The text before the task's first observation: how to act, the form of a turn (`form.instruction`), which
        actions there are, in the spelling that the task understands, and with `example` also one worked episode, really
        executed, of a task outside all splits, its turns as `form.text(turn)`. Equal tasks get the same text, cached.
        Raises EnvironmentFault if the task cannot be loaded."""
        ...


@runtime_checkable
class Reflects(Protocol):
    """World: it can word a reflection."""

    def reflect(
        self, instruction: str, first_observation: str, steps: Sequence[Step], required_action: str
    ) -> str:
        """The offline reflector's thought after a deviated last step, composed from the observations and leading to
        `required_action`."""
        ...


@runtime_checkable
class ChecksGrounding(Protocol):
    """World: it knows the names of its things."""

    def ungrounded(
        self,
        first_observation: str,
        instruction: str,
        steps: Sequence[Step],
        required_action: str,
        thought: str,
    ) -> list[str]:
        """The names in a thought that occur neither in the transcript (the instruction, the observations, the agent's
        own actions) nor in the required action. Empty if the thought is grounded."""
        ...


@runtime_checkable
class HasVocabulary(Protocol):
    """World: it knows the words that matter."""

    def vocabulary(self) -> list[str]:
        """Names that become single tokens of a small policy's tokenizer: entities ("shelf 3"), types ("shelf"), and
        words for states ("hot"). The other tokens are learned from the training texts."""
        ...


@runtime_checkable
class Compares(Protocol):
    """World: its observations may differ without meaning something else (e.g. in the order of a listing)."""

    def same(self, one: str, other: str) -> bool:
        """Whether two observations mean the same."""
        ...


@runtime_checkable
class HasSplits(Protocol):
    """World: its splits have names of their own."""

    def splits(self) -> Sequence[str]:
        """The names of all splits. `train` must be among them: training tasks come from it."""
        ...


@runtime_checkable
class CapsSteps(Protocol):
    """World: its tasks have their own limits."""

    def step_cap(self, task: Task) -> int:
        """Most steps of the task's episodes. `environment.step_cap` holds too: the smaller one counts."""
        ...


@runtime_checkable
class HasTools(Protocol):
    """World: its actions are calls of tools."""

    def tools(self) -> list[dict[str, Any]]:
        """The tools as OpenAI's API describes them: {"name", "description", "parameters" (a JSON schema)}. An action is
        then a call as JSON, {"name": ..., "arguments": {...}}, keys in this order."""
        ...


@runtime_checkable
class Remarks(Protocol):
    """World: there is something to say about the tasks."""

    def remarks(self) -> list[str]:
        """What a user should know about the listed tasks, one line each: e.g. which were left out, and why."""
        ...


@runtime_checkable
class ReadsData(Protocol):
    """World: its vocabulary depends on data that no task names."""

    def data_digest(self) -> str:
        """The digest of what the world reads besides the data of its tasks."""
        ...
