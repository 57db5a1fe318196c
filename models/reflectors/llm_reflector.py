"""A language model behind an API as the reflector (GPT-4o in the paper). How it is asked is `models/asking/asker.py`.

After the last unusable reply the outcome is NoReflection with the reason, and the calibration is stored as rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from configs.calibration import CalibrationConfig
from models.asking.asker import Answer, Asker, AskingFault, Question, Unusable
from models.asking.usability import UsabilityMonitor
from models.client.endpoint import Endpoint
from models.reflectors.checks import Draft, UngroundedNames, problem_with
from models.reflectors.drafts import parse_draft
from models.reflectors.prompt import RESPONSE_FORMAT, conversation
from models.reflectors.reflector import NoReflection, Reflection, ReflectionFault, ReflectionRequest
from steca.vocabulary import Progress

Outcome = Reflection | NoReflection


class LLMReflector:
    """See models.reflectors.reflector.Reflector."""

    def __init__(
        self,
        endpoint: Endpoint,
        config: CalibrationConfig,
        ungrounded: UngroundedNames,
        least_usable: float = 0.1,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`least_usable`: a smaller share of usable reflections stops the run; `log` gets a line at the end if most
        were unusable."""
        self.label, self._ungrounded = config.model, ungrounded
        usability = UsabilityMonitor(config.model, least_usable)
        self._asker: Asker[Draft] = Asker(endpoint, config, usability, log)

    def reflect(
        self, requests: Sequence[ReflectionRequest], progress: Progress | None = None
    ) -> list[Outcome]:
        """Raises ReflectionFault if the server or its model cannot be used; replies received until then are kept."""
        try:
            answers = self._asker.ask([self._question(request) for request in requests], progress)
        except AskingFault as fault:
            raise ReflectionFault(str(fault)) from fault
        return [
            Reflection(answer.value.thought, self.label, answer.attempts)
            if isinstance(answer, Answer)
            else NoReflection(answer.reason, answer.attempts)
            for answer in answers
        ]

    def stop(self) -> None:
        """See models.stopping.Stoppable."""
        self._asker.stop()

    def close(self) -> None:
        """Close the connections; log a summary if most reflections were unusable."""
        self._asker.close()

    def _question(self, request: ReflectionRequest) -> Question[Draft]:
        return Question(
            conversation(request, structured=True),
            conversation(request, structured=False),
            RESPONSE_FORMAT,
            lambda text: usable_draft(text, request, self._ungrounded),
        )


def usable_draft(text: str, request: ReflectionRequest, ungrounded: UngroundedNames) -> Draft | Unusable:
    """The thought and the action in a reply, if they can be trained on."""
    draft = parse_draft(text)
    problem = problem_with(draft, request, ungrounded)
    if problem is not None:
        return Unusable(problem)
    assert draft is not None, "no draft is a problem"
    return draft
