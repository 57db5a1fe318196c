"""What a stage says before and while it spends: the forecast, the burn, and why it ended."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from configs.load import check
from configs.schema import BudgetConfig, FactoryConfig
from flows.reporting.progress import Ending, reporting
from flows.runs.run import run_id
from flows.stages import STAGE_FLOWS
from flows.work.forecast import per_candidate
from steca.allocation import PRIOR, plan
from steca.rewards import Tally
from storage.runs import RunFolder
from tests.support.fake_openai.server import FakeOpenAI
from tests.support.tiny_factory import tiny


class Recorder:
    """Keeps all that a stage says."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.spent: list[str] = []

    def stage_started(self, stage: str, round: int, batches: int) -> None: ...

    def progressed(self, done: int, total: int, parts: str, batches: int) -> None: ...

    def batch_done(self, cached: bool) -> None: ...

    def log(self, line: str) -> None:
        self.lines.append(line)

    def spent_so_far(self, spent: str) -> None:
        self.spent.append(spent)

    def stage_ended(self, how: Ending) -> None: ...


def test_a_stage_says_what_it_will_cost_what_it_has_cost_and_why_it_ended(
    prefect_api: str, tmp_path: Path
) -> None:
    heard = Recorder()
    config = tiny(tmp_path).model_copy(
        update={"budget": BudgetConfig(rollouts=7, usd_per_million_tokens=2.0)}
    )
    with reporting(heard):
        for stage in ("demonstrate", "warmup", "explore", "rewards"):
            STAGE_FLOWS[stage](config)
    experts, curves, forecast, ended = heard.lines
    assert re.match(r"\d+ of \d+ training tasks have an expert run that succeeded; of the others, ", experts)
    assert curves.startswith("curves: ")
    found = re.fullmatch(
        r"forecast: at most (\d+) candidates, about (\d+) rollouts, ([\d,]+) tokens, [\d.]+ min, \$[\d.]+; "
        r"at most (\d+) rollouts; spent so far: 0 of 7 rollouts, 0 tokens, \$0.0000",
        forecast,
    )
    assert found, forecast
    candidates, likely, most = (int(found[number]) for number in (1, 2, 4))
    assert candidates > 0
    assert likely == most == 6 * candidates  # fixed: two rollouts for each of three turns
    assert ended.startswith("budget.rollouts = 7 is spent")
    assert [line.split(" ")[0] for line in heard.spent][-1] == "7"


def rewards_of(config: FactoryConfig, force: bool = False) -> tuple[str, int]:
    """The forecast of a run's stage rewards, and the rollouts that the run then paid for."""
    heard, folder = Recorder(), RunFolder(config.data_dir, run_id(config))
    before = folder.spent().rollouts
    with reporting(heard):
        if not folder.stage(1, "explore"):
            for stage in ("demonstrate", "warmup", "explore"):
                STAGE_FLOWS[stage](config)
        STAGE_FLOWS["rewards"](config, force=force)
    [line] = [line for line in heard.lines if line.startswith("forecast")]
    return line, folder.spent().rollouts - before


LEFT = (
    r"forecast: at most \d+ candidates, about (\d+) rollouts, of which (\d+) are stored already and cost nothing; "
    r"left to play: about (\d+) rollouts, [\d,]+ tokens, ([\d.]+ min, )?\$[\d.]+; at most (\d+) rollouts; spent"
)


def test_stored_rollouts_are_in_the_forecast_and_cost_nothing(copied: FactoryConfig) -> None:
    """Explored as the finished run; its rollouts were played with another `top_p`, and are no use."""

    def run(*changes: str, limit: int | None = None) -> FactoryConfig:
        budget = BudgetConfig(rollouts=limit, usd_per_million_tokens=2.0)
        return tiny(copied.data_dir, "rewards.top_p=0.9", *changes).model_copy(update={"budget": budget})

    said, paid = rewards_of(run(limit=7))
    assert paid == 7
    assert "stored" not in said

    said, paid = rewards_of(run())  # the same run, resumed
    found = re.match(LEFT, said)
    assert found, said
    assert int(found[2]) == 7
    assert 0 < paid == int(found[3]) == int(found[5]), (
        "mode fixed: once points are looked up, nothing is estimated"
    )

    said, more = rewards_of(run("rewards.rollouts=3"))
    found = re.match(LEFT, said)
    assert found, said
    assert int(found[2]) == 7 + paid
    assert 0 < more == int(found[3]) == int(found[5])
    assert int(found[1]) == 7 + paid + more

    another_threshold = run("rewards.rollouts=3", "deviation.delta=0.1")
    said, nothing = rewards_of(another_threshold)
    assert nothing == 0
    assert (
        f"about {7 + paid + more} rollouts, all of which are stored already and cost nothing; spent" in said
    )

    said, again = rewards_of(another_threshold, force=True)
    assert again == 7 + paid + more
    assert "stored" not in said


@pytest.mark.parametrize(
    ("sections", "likely", "most"),
    [
        ({"rewards": {"mode": "fixed", "rollouts": 4}}, 12, 12),
        ({"rewards": {"mode": "fixed", "rollouts": 4}, "datasets": {"expert_suffixes": False}}, 12, 12),
        ({"deviation": {"preset": "every_failure"}, "datasets": {"expert_suffixes": False}}, 0, 0),
    ],
)
def test_what_a_candidate_takes(sections: dict[str, dict[str, object]], likely: int, most: int) -> None:
    assert per_candidate(check(sections, "test")) == (likely, most)


def test_the_expected_rollouts_are_those_of_playing_the_plan_against_its_prior() -> None:
    made, rng = plan(0.0, 0.05, 24, 1 / 70), np.random.default_rng(0)
    taken = []
    for reference, explored in rng.beta(*PRIOR, size=(4000, 2)):
        sides = [Tally(), Tally()]
        while (wanted := made.next(*sides)) != (sides[0].n, sides[1].n):
            for number, (n, rate) in enumerate(zip(wanted, (reference, explored), strict=True)):
                now = sides[number]
                sides[number] = Tally(n, now.total + rng.binomial(n - now.n, rate))
        taken.append(sides[0].n + sides[1].n)
    assert np.mean(taken) == pytest.approx(
        made.expected_rollouts, abs=4 * np.std(taken) / np.sqrt(len(taken))
    )


def test_a_judged_run_says_how_many_judgements_it_may_ask_for(prefect_api: str, tmp_path: Path) -> None:
    heard = Recorder()
    judged = ("deviation.preset=judge", "judge.model=m", "rewards.mode=curtailed")
    assert per_candidate(tiny(tmp_path, *judged, "deviation.suffixes=every")) == (0, 0)
    assert per_candidate(tiny(tmp_path, *judged)) == (0.6 * 2 * 2, 2 * 2)
    config = tiny(tmp_path, "judge.ask=always", "judge.model=m", "execution.reflector.key_env=''")
    config = config.model_copy(update={"budget": BudgetConfig(rollouts=1)})
    with FakeOpenAI("m", answer=lambda asked, number: '{"reason": "so", "label": "BAD"}') as server:
        where = config.execution.reflector.model_copy(update={"base_urls": (server.url,)})
        execution = config.execution.model_copy(update={"reflector": where})
        with reporting(heard):
            for stage in ("demonstrate", "warmup", "explore", "rewards"):
                STAGE_FLOWS[stage](config.model_copy(update={"execution": execution}))
        asked = len(server.requests)
    forecast = next(line for line in heard.lines if line.startswith("forecast"))
    found = re.search(r"at most (\d+) candidates.* rollouts and (\d+) judgements", forecast)
    assert found, forecast
    assert 0 < asked <= int(found[1]) == int(found[2])
