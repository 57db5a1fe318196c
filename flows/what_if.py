"""A stored run under another deviation rule, from the published store alone: no policy, no world, no rollout."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from configs.faults import ConfigFault
from configs.load import check
from configs.needed import needed_stages
from flows.drop_probabilities import first_outcomes, probabilities, relation
from flows.faults import StageFault
from flows.wording import another_run, in_folder, no_runs
from steca.datasets import suffix_rule
from steca.deviation import PRESETS, Rule, preset
from steca.evidence import gap_interval
from steca.rewards import Tally
from steca.stopping import verdict_so_far
from storage.runs import choose_run
from storage.store import Store

CHANGE = """CASE WHEN new_selected AND NOT selected THEN 'enters' WHEN selected AND NOT new_selected THEN 'leaves'
    WHEN selected THEN 'stays' END"""
MATRIX = """
SELECT CASE WHEN verdict = 'undecided' AND reference_reward IS NULL AND explored_reward IS NULL THEN 'no rollouts'
        ELSE verdict END AS now,
    CASE WHEN new_rule = 'no rollouts' THEN new_rule ELSE new_verdict END AS "then", count(*) AS n
FROM considered GROUP BY ALL
"""
EXAMPLES = """examples AS (  -- of the run, each once although several rounds may train on it
    SELECT DISTINCT example_id, dataset, weight, calibration_id, deviation_id
    FROM run_training_examples WHERE run_id = $run
)"""
CALIBRATED = """
SELECT c.change, count(*), sum(e.weight)
FROM examples e
JOIN calibrations k USING (calibration_id)
JOIN considered c ON c.deviation_id = k.deviation_id
WHERE e.dataset = 'calibrated' GROUP BY ALL
"""
SUFFIXES = """
, first AS (
    SELECT step_reward_id, count_if(outcome >= 1) AS success, sum(coalesce(progress, outcome)) AS progress,
        sum(outcome) AS score
    FROM distinct_rollouts WHERE sample_index < $wanted GROUP BY ALL
)
SELECT DISTINCT c.deviation_id, c.expert_beats_explored = 'yes', e.example_id, c.error_rate,
    c.expert_reward, c.expert_n, picked(c.compared_outcome, x.success, x.progress, x.score),
    c.explored_reward, c.explored_n, picked(c.compared_outcome, y.success, y.progress, y.score)
FROM considered c
LEFT JOIN (FROM examples WHERE dataset = 'expert_suffix') e USING (deviation_id)
LEFT JOIN first x ON x.step_reward_id = c.expert_step_reward_id
LEFT JOIN first y ON y.step_reward_id = c.explored_step_reward_id
WHERE c.step_index > 0 AND NOT c.explored_success AND words(c.explored_action) <> words(c.expert_action)
    AND (c.expert_reward IS NOT NULL OR c.expert_beats_explored = 'yes')  -- yes without rewards: suffixes every
"""


@dataclass(frozen=True)
class Change:
    """How many examples stay in, leave and enter one part of the training set."""

    stay: int = 0
    leave: int = 0
    enter: int = 0

    @property
    def now(self) -> int:
        return self.stay + self.leave

    @property
    def then(self) -> int:
        return self.stay + self.enter


@dataclass(frozen=True)
class OtherRule:
    """The other rule. A field that is None keeps the run's value. Raises ConfigFault if the rule is invalid."""

    preset: str | None = None
    delta: float | None = None
    error_rate: float | None = None
    smallest_drop: float | None = None
    probability: float | None = None

    def __post_init__(self) -> None:
        if self.preset is not None and self.preset not in PRESETS:
            near = difflib.get_close_matches(self.preset, PRESETS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigFault(
                f"no deviation preset is called {self.preset!r}: {hint}known: {', '.join(PRESETS)}"
            )
        if self.delta is not None and not -1.0 <= self.delta <= 1.0:
            raise ConfigFault(f"--delta is {self.delta}: rewards lie in [0, 1], so give -1 to 1, e.g. 0.1")
        if self.error_rate is not None and not 0.0 < self.error_rate < 1.0:
            raise ConfigFault(f"--error-rate is {self.error_rate}: give a share between 0 and 1, e.g. 0.05")
        if self.smallest_drop is not None and not 0.0 < self.smallest_drop <= 1.0:
            raise ConfigFault(f"--smallest-drop is {self.smallest_drop}: give more than 0, at most 1")
        if self.probability is not None and not 0.0 < self.probability < 1.0:
            raise ConfigFault(f"--probability is {self.probability}: give a share between 0 and 1, e.g. 0.5")


def find_run(store: Store, run: str | None) -> tuple[str, int]:
    """(the id of the given run, or of the newest; how many runs there are). A run is given by its id, its name or the
    first letters of its id. Raises StageFault if there is no run, StorageFault if none or several match."""
    names = dict(store.query("SELECT run_id, name FROM runs ORDER BY created_at DESC, run_id")[1])
    if not names:
        raise StageFault(no_runs(store.root))
    return next(iter(names)) if run is None else choose_run(run, names, store.published), len(names)


class WhatIf:
    """One run of the store under another rule."""

    def __init__(self, store: Store, run: str, question: OtherRule) -> None:
        """Raises StageFault if the run has no comparisons, or those of a version that stored too little; ConfigFault if
        its settings are of another version."""
        self.run, self.question, self.root, self._store = run, question, store.root, store
        self._params: dict[str, object] = {
            "run": run,
            "preset": question.preset,
            "delta": question.delta,
            "rate": question.error_rate,
            "drop": question.smallest_drop,
            "probability": question.probability,
        }
        self._check()
        self._comparisons = "" if question.error_rate is None else self._with_intervals(question.error_rate)
        self._drops = self._with_probabilities()

    def ask(self, query: str, **params: object) -> tuple[list[str], list[tuple[Any, ...]]]:
        """(columns, rows) of a query over `considered`: the rows of the macro what_if, and each one's `change`."""
        relation = "with_probabilities" if self._drops else self._gaps
        source = f"""what_if($run, preset := $preset, delta := $delta, smallest_drop := $drop,
            error_rate := $rate, probability := $probability, comparisons := '{relation}',
            with_drops := {bool(self._drops)})"""
        considered = f"considered AS (SELECT *, {CHANGE} AS change FROM {source})"
        with_all = f"WITH {self._comparisons} {self._drops} {considered}, {EXAMPLES} {query}"
        used = set(re.findall(r"\$(\w+)", with_all))
        known = self._params | params
        return self._store.query(with_all, {name: known[name] for name in used})

    def rules(self) -> tuple[list[Rule], Rule | None]:
        """(the rules of the stored verdicts, the other rule where it is a single one)."""
        return self._rules

    @cached_property
    def _rules(self) -> tuple[list[Rule], Rule | None]:
        sql = (
            "SELECT DISTINCT preset, delta, coalesce(error_rate, 0.05), new_preset, new_delta FROM considered"
        )
        rows = self.ask(f"{sql} ORDER BY ALL")[1]
        now = list(dict.fromkeys(preset(name, delta) for name, delta, *_ in rows))
        then = list(dict.fromkeys(preset(name, delta) for *_, name, delta in rows))
        return now, then[0] if len(then) == 1 else None

    def config(self) -> dict[str, Any]:
        """The configuration of the run."""
        return self._config

    @cached_property
    def _config(self) -> dict[str, Any]:
        ((config,),) = self._store.query(
            "SELECT config FROM run_configs WHERE run_id = $run", {"run": self.run}
        )[1]
        return dict(json.loads(config))

    def matrix(self) -> dict[tuple[str, str], int]:
        """Comparisons by (verdict now, verdict then); those without evidence are "no rollouts"."""
        return {(now, then): n for now, then, n in self.ask(MATRIX)[1]}

    def deviations(self) -> Change:
        """The deviations that are selected for calibration."""
        counts = dict(self.ask("SELECT change, count(*) FROM considered GROUP BY ALL")[1])
        return Change(counts.get("stays", 0), counts.get("leaves", 0), counts.get("enters", 0))

    def calibrated(self) -> tuple[Change, float, float]:
        """(the D_c examples, their weight now, the weight of those that leave)."""
        rows = {change: (n, weight) for change, n, weight in self.ask(CALIBRATED)[1]}
        (stay, kept), (leave, lost) = rows.get("stays", (0, 0.0)), rows.get("leaves", (0, 0.0))
        return Change(stay, leave), kept + lost, lost

    def suffixes(self) -> Change:
        """The D_s examples that were compared (step 1 and up; at step 0 the failure alone decides)."""
        stay = leave = enter = 0
        rule, own = self._suffix_rule(), self.config().get("deviation", {}).get("suffixes", "preset")
        if own != "preset":  # D_s has a rule of its own
            rule = None
        by_posterior = rule is not None and rule.test == "posterior" and self.mode() == "sequential"
        wanted = None if by_posterior or (rule and rule.test == "evidence") else self.rollouts()
        shown = self.config().get("datasets", {}).get("expert_suffixes", True)
        rows = self.ask(SUFFIXES, wanted=wanted or 0)[1]
        for (
            _,
            better,
            example,
            rate,
            expert,
            expert_n,
            expert_first,
            explored,
            explored_n,
            explored_first,
        ) in rows:
            still = bool(better)
            if rule is not None:
                asked = replace(rule, error_rate=self.question.error_rate or rate or rule.error_rate)
                reference = first_outcomes(expert, expert_n, expert_first, wanted)
                still = _better(
                    reference, first_outcomes(explored, explored_n, explored_first, wanted), asked, wanted
                )
            if example is not None:
                stay, leave = stay + still, leave + (not still)
            else:
                enter += shown and still and not better
        return Change(stay, leave, enter)

    def mode(self) -> str:
        """The mode of the stage rewards that the other rule needs: the run's own where it is allowed."""
        mode = self._own_mode()
        _, then = self.rules()
        if then and then.needs_rewards and then.test == "means" and mode == "sequential":
            return "curtailed"
        return "sequential" if then and then.test == "evidence" and mode == "curtailed" else mode

    def _own_mode(self) -> str:
        return str(self.config().get("rewards", {}).get("mode", "fixed"))

    def wanted(self) -> int | None:
        """How many outcomes of each side P(drop) is that of; None: of all."""
        return None if self._own_mode() == "sequential" else self.rollouts()

    def rollouts(self) -> int:
        """How many rollouts of each side the means are taken over."""
        return int(self.config().get("rewards", {}).get("rollouts", 5))

    def _suffix_rule(self) -> Rule | None:
        """The rule for D_s; None if the other rule is not a single one."""
        _, then = self.rules()
        if then is None:
            return None
        if then.test == "posterior":
            return suffix_rule(replace(then, probability=self.probability()))
        return suffix_rule(replace(then, test="evidence") if self.mode() == "sequential" else then)

    def _check(self) -> None:
        sql = """SELECT count(*), count_if(explored_success IS NULL OR similarity IS NULL OR continues IS NULL)
                 FROM step_reward_gaps WHERE run_id = $run"""
        ((stored, old),) = self._store.query(sql, {"run": self.run})[1]
        again = f"`steca stage rewards --run {self.run}{in_folder(self.root)}`"
        if not stored and "rewards" not in needed_stages(check(self.config(), f"run {self.run}")):
            raise StageFault(
                f"run {self.run} has no step rewards, because what it trains on needs none. For comparisons, start "
                f"{another_run(self.root, 'rewards.evidence=always')}, which is a run of its own"
            )
        if not stored:
            raise StageFault(f"run {self.run} holds no comparisons yet; first run: {again}")
        if old:
            raise StageFault(
                f"{old} of {stored} comparisons of run {self.run} were stored by an older version, which did not keep "
                f"what the rules look at; score them again with {again}"
            )

    @property
    def _gaps(self) -> str:
        """The relation of the comparisons, with the intervals that the other rule needs."""
        return "regapped" if self._comparisons else "step_reward_gaps"

    def probability(self) -> float:
        """The share that P(drop) has to exceed under the preset probable."""
        stored = self.config().get("deviation", {}).get("probability", 0.5)
        return float(stored if self.question.probability is None else self.question.probability)

    def _with_probabilities(self) -> str:
        """SQL for the comparisons with P(drop) at the new delta; "" where no verdict depends on it."""
        asked = self.question
        wanted = self.wanted()
        found = probabilities(self._store, self.run, asked.preset, asked.delta, self.probability(), wanted)
        if not found:
            return ""
        sql, params = relation(self._gaps, found)
        self._params |= params
        return sql

    def _with_intervals(self, error_rate: float) -> str:
        """SQL for the comparisons with the gap's interval at another error rate, from the counts of rollouts."""
        sides = "reference_reward, reference_n, explored_reward, explored_n"
        sql = f"SELECT DISTINCT {sides} FROM step_reward_gaps WHERE run_id = $run AND gap_low IS NOT NULL"
        rows = self._store.query(sql, {"run": self.run})[1]
        ends = [gap_interval(Tally.stored(*row[:2]), Tally.stored(*row[2:]), error_rate) for row in rows]
        for name, values in zip("abcd", zip(*rows, strict=True), strict=False):
            self._params[name] = list(values)
        self._params |= {"low": [low for low, _ in ends], "high": [high for _, high in ends]}
        if not rows:
            return ""
        return """made AS (
            SELECT unnest($a) AS a, unnest($b) AS b, unnest($c) AS c, unnest($d) AS d,
                unnest($low) AS low, unnest($high) AS high
        ), regapped AS (
            SELECT g.* REPLACE (made.low AS gap_low, made.high AS gap_high, $rate AS error_rate)
            FROM step_reward_gaps g LEFT JOIN made
            ON (g.reference_reward, g.reference_n, g.explored_reward, g.explored_n) IS NOT DISTINCT FROM (a, b, c, d)
        ),"""


@lru_cache(maxsize=1 << 14)
def _better(expert: Tally, explored: Tally, rule: Rule, wanted: int | None) -> bool:
    return verdict_so_far(expert, explored, rule, wanted).verdict == "deviated"
