"""The threshold bench says what `steca what-if` says, at every threshold and under every rule."""

from __future__ import annotations

import pytest

from configs.faults import ConfigFault
from flows.what_if import OtherRule, WhatIf
from steca.deviation import PRESETS
from view.published import Published
from view.queries.bench import DELTAS, bench, first_answer

VERDICTS = ("deviated", "not_deviated", "undecided", "filtered")


@pytest.mark.parametrize("name", [None, *PRESETS])
@pytest.mark.parametrize("run", ["release", "fixed"])
def test_it_says_what_what_if_says(judged: Published, run: str, name: str | None) -> None:
    found = bench(judged, run, name)
    deltas = found["deltas"]
    assert deltas == sorted({*DELTAS, found["own"]["delta"]})
    for place in sorted({*range(0, len(deltas), 10), deltas.index(found["own"]["delta"])}):
        asked = WhatIf(judged.store, run, OtherRule(name, deltas[place]))
        counts, then = found["counts"][place], dict[str, int]()
        for (_, verdict), n in asked.matrix().items():
            then[verdict] = then.get(verdict, 0) + n
        assert {verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]} == {
            verdict: n for verdict, n in then.items() if verdict in VERDICTS
        }
        assert counts["no_rollouts"] == then.get("no rollouts", 0)
        moved = asked.deviations()
        assert (counts["stay"], counts["leave"], counts["enter"]) == (moved.stay, moved.leave, moved.enter)
        examples, weight, lost = asked.calibrated()
        assert (counts["examples"], counts["examples_leave"]) == (examples.now, examples.leave)
        assert (counts["weight"], counts["weight_leaves"]) == pytest.approx((weight, lost))
        suffixes = asked.suffixes()
        assert found["suffixes"] == {
            "stay": suffixes.stay,
            "leave": suffixes.leave,
            "enter": suffixes.enter,
        }


def test_the_turns_that_move_add_up_to_the_counts(judged: Published) -> None:
    found = bench(judged, "release", "paper")
    assert any(counts["enter"] for counts in found["counts"])
    assert any(counts["leave"] for counts in found["counts"])
    for place, counts in enumerate(found["counts"]):
        inside = [row["selected"] for row in found["moving"] if row["at"][place] == "1"]
        outside = [row["selected"] for row in found["moving"] if row["at"][place] == "0"]
        assert (sum(inside), len(inside) - sum(inside)) == (counts["stay"], counts["enter"])
        assert sum(outside) == counts["leave"]


def test_the_threshold_matters(judged: Published) -> None:
    """Else the comparisons above would hold for a bench that ignores it."""
    counts = bench(judged, "release")["counts"]
    assert len({row["deviated"] for row in counts}) > 3


def test_an_unknown_rule_is_refused(judged: Published) -> None:
    with pytest.raises(ConfigFault, match="no deviation preset is called 'papr': did you mean paper"):
        bench(judged, "release", "papr")


def test_a_run_of_many_comparisons_is_answered_at_one_threshold_first(
    judged: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bench(judged, "release", "paper")
    assert first_answer(judged, "release", "paper", 0.1) == whole
    monkeypatch.setattr("view.queries.bench.AT_ONCE", 3)
    for delta in (0.1, None):
        place = whole["deltas"].index(whole["own"]["delta"] if delta is None else delta)
        first = first_answer(judged, "release", "paper", delta)
        assert first["partial"]
        assert not whole["partial"]
        assert first["deltas"] == [whole["deltas"][place]]
        assert first["counts"] == [{**whole["counts"][place], "place": 0}]
