"""A language model behind an API as the step judge. How it is asked is `models/asking/asker.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from configs.calibration import JudgeConfig
from models.asking.asker import Answer, Asker, AskingFault, Question
from models.asking.usability import UsabilityMonitor
from models.client.endpoint import Endpoint
from models.judges.judge import Judgement, JudgementFault, JudgementRequest
from models.judges.prompt import RESPONSE_FORMAT, LabelledReply, conversation, read_reply
from steca.vocabulary import Progress


class LLMJudge:
    """See models.judges.judge.Judge."""

    def __init__(
        self,
        endpoint: Endpoint,
        config: JudgeConfig,
        least_usable: float = 0.1,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`least_usable`: a smaller share of usable judgements stops the run; `log` gets a line at the end if most were
        unusable."""
        self.model = config.model
        usability = UsabilityMonitor(config.model, least_usable, "judgements", "judge")
        self._asker: Asker[LabelledReply] = Asker(endpoint, config, usability, log)

    def judge(
        self, requests: Sequence[JudgementRequest], progress: Progress | None = None
    ) -> list[Judgement]:
        """Raises JudgementFault if the server or its model cannot be used; replies received until then are kept."""
        try:
            answers = self._asker.ask([_question(request) for request in requests], progress)
        except AskingFault as fault:
            raise JudgementFault(str(fault)) from fault
        return [
            Judgement(answer.value.label, answer.value.reason, answer.attempts)
            if isinstance(answer, Answer)
            else Judgement(None, answer.reason, answer.attempts)
            for answer in answers
        ]

    def stop(self) -> None:
        """See models.stopping.Stoppable."""
        self._asker.stop()

    def close(self) -> None:
        """Close the connections; log a summary if most judgements were unusable."""
        self._asker.close()


def _question(request: JudgementRequest) -> Question[LabelledReply]:
    return Question(
        conversation(request, structured=True),
        conversation(request, structured=False),
        RESPONSE_FORMAT,
        read_reply,
    )
