"""The policy that explored as the reflector: the paper's variant "self-generated reflection".

It gets the prompt of a language-model reflector, asked for two plain lines, and its replies pass the same checks. The
required action is in the prompt. Unusable replies are asked for again with the reason. A policy that cannot follow an
instruction, such as a small one that was trained from scratch, writes hardly any usable reflection: its calibrations
are rejected and counted, and the run goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from models.asking.asker import Unusable, problem_of, retry_messages
from models.policy import Generation, Message, Policy, Sampling
from models.reflectors.checks import UngroundedNames
from models.reflectors.llm_reflector import Outcome, usable_draft
from models.reflectors.prompt import conversation
from models.reflectors.reflector import NoReflection, Reflection, ReflectionRequest
from steca.vocabulary import Progress


@dataclass(slots=True)
class _Sample:
    """One deviation in progress."""

    request: ReflectionRequest
    messages: list[Message] = field(init=False)
    problem: str = ""
    reflection: Reflection | None = None

    def __post_init__(self) -> None:
        self.messages = conversation(self.request, structured=False)


class PolicyReflector:
    """See models.reflectors.reflector.Reflector."""

    label = "policy"

    def __init__(
        self,
        policy: Policy,
        sampling: Sampling,
        attempts: int,
        ungrounded: UngroundedNames,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`attempts`: most replies to one request; `log` gets a line if most reflections of a call are unusable."""
        self._policy, self._sampling, self._attempts = policy, sampling, attempts
        self._ungrounded, self._log = ungrounded, log

    def reflect(
        self, requests: Sequence[ReflectionRequest], progress: Progress | None = None
    ) -> list[Outcome]:
        """All requests are asked together, then those whose reply was unusable again. Raises PolicyFault."""
        samples = [_Sample(request) for request in requests]
        for attempt in range(1, self._attempts + 1):
            if not (waiting := [sample for sample in samples if sample.reflection is None]):
                break
            self._ask(waiting, attempt)
            if progress and requests:
                still = sum(sample.reflection is None for sample in samples)
                progress(len(samples) - (still if attempt < self._attempts else 0), len(samples))
        self._report(samples)
        return [sample.reflection or NoReflection(sample.problem, self._attempts) for sample in samples]

    def _ask(self, samples: Sequence[_Sample], attempt: int) -> None:
        histories = [sample.messages for sample in samples]
        replies = self._policy.act(histories, [_seed(history) for history in histories], self._sampling)
        for sample, reply in zip(samples, replies, strict=True):
            draft = usable_draft(reply.text, sample.request, self._ungrounded)
            if isinstance(draft, Unusable):
                sample.problem = _problem(draft.reason, reply)
                sample.messages = [*sample.messages, *retry_messages(reply.text, sample.problem)]
            else:
                sample.reflection = Reflection(draft.thought, self.label, attempt)

    def _report(self, samples: Sequence[_Sample]) -> None:
        unusable = [sample for sample in samples if sample.reflection is None]
        if len(unusable) * 2 > len(samples):
            self._log(
                f"{len(samples) - len(unusable)} of {len(samples)} reflections by the policy were usable; one of the "
                f"others: {unusable[0].problem}"
            )


def _problem(reason: str, reply: Generation) -> str:
    if reply.finish == "length" and not reply.tokens:
        return "the transcript and the replies so far do not fit into the policy's context"
    return problem_of(reason, reply)


def _seed(history: Sequence[Message]) -> int:
    """The seed of a reply: that of its prompt, whatever else is asked."""
    return int.from_bytes(hashlib.sha256(json.dumps(history).encode()).digest()[:7])
