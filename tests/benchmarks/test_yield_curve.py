"""The yield curve from hand-made results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.yield_curve import above_control, draw, lines, points
from flows.compare.results import Episode, Header, Results, SetSize

TASKS = 10
ARMS: dict[str, tuple[int, int, dict[str, Any]]] = {  # repairs, games won of ten, changed settings
    "none": (0, 2, {"datasets.calibrated": False}),
    "random 20": (20, 4, {"calibration.choose": "random", "calibration.repairs": 20}),
    "gap 20": (20, 3, {"calibration.choose": "gap", "calibration.repairs": 20}),
    "every failure": (100, 8, {"deviation.preset": "every_failure"}),
    "paper": (60, 7, {}),
}


@pytest.fixture
def results() -> Results:
    episodes = [
        Episode(arm, 3, "unseen", start, f"t{task}", "pick", task < won, 4, 3, 0)
        for arm, (_, won, _) in ARMS.items()
        for start in ("beginning", "after_deviation")
        for task in range(TASKS)
    ]
    sizes = tuple(
        SetSize(arm=arm, seed=3, dataset="calibrated", examples=repairs)
        for arm, (repairs, _, _) in ARMS.items()
        if repairs
    )
    arms = {arm: changes for arm, (_, _, changes) in ARMS.items()}
    header = Header(name="repairs", reference="none", arms=arms, package_version="0", sets=sizes)
    return Results(header, episodes)


def test_arms_are_ordered_by_the_number_of_repairs(results: Results) -> None:
    found = points(results)
    assert [(point.arm, point.repairs) for point in found] == [
        ("none", 0), ("random 20", 20), ("gap 20", 20), ("paper", 60), ("every failure", 100)
    ]  # fmt: skip
    assert found[0].success["from the beginning"].rate == 0.2


def test_an_arm_that_lacks_a_seed_is_left_out(results: Results) -> None:
    later = [episode._replace(seed=4) for episode in results.episodes if episode.arm != "gap 20"]
    both = Results(results.header, [*results.episodes, *later])
    assert [point.arm for point in points(both)] == ["none", "random 20", "paper", "every failure"]


def test_every_line_begins_without_repairs_and_ends_with_all(results: Results) -> None:
    assert {name: [point.arm for point in line] for name, line in lines(points(results)).items()} == {
        "random": ["none", "random 20", "every failure"],
        "gap": ["none", "gap 20", "every failure"],
    }


def test_an_arm_is_compared_with_as_many_random_repairs(results: Results) -> None:
    found = {point.arm: point for point in points(results)}
    control = lines(list(found.values()))["random"]
    assert above_control(found["gap 20"], control) == pytest.approx(0.3 - 0.4)
    assert above_control(found["paper"], control) == pytest.approx(0.7 - (0.4 + 0.8) / 2)
    assert above_control(found["random 20"], control) == 0.0


def test_the_picture_names_every_line_and_rule(results: Results, tmp_path: Path) -> None:
    draw(points(results), "title", tmp_path / "curve.svg")
    text = (tmp_path / "curve.svg").read_text()
    assert [
        name for name in ("random", "gap", "paper", "success from the beginning") if f">{name}<" not in text
    ] == []
