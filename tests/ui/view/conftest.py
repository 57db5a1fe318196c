"""The pages of `steca view` over a store whose texts try everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from steca.vocabulary import TrajectoryKind
from storage.records import Record, RolloutRecord, StepRecord, TrajectoryRecord
from tests.support.made_up_run import made_up_run
from tests.support.store_rows import (
    calibration,
    checkpoint,
    deviation,
    evaluation,
    example,
    rollouts,
    scored_turn,
    task,
    trajectory,
)
from view.published import Published
from view.serving.serve import served_beside

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MARKUP = "<img src=x onerror='globalThis.stolen=1'><script>globalThis.stolen=1</script></script>"
HOSTILE = (
    f"{MARKUP} **bold** [link](javascript:globalThis.stolen=1) '; DROP TABLE steps; -- "
    "\x1b[31mred\x1b[0m \u202eesrever\u202c \x00 ${globalThis.stolen=1} {{stolen}} &lt;b&gt; <!--CHUNKS-->"
)
LONG = "long " * 200_000
"""A megabyte."""
TASKS = 60


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run of TASKS tasks, each with an expert's, an explored and a repaired run."""
    root = tmp_path_factory.mktemp("hostile")
    rows = [row for number in range(TASKS) for row in _of_task(number)]
    made_up_run(
        root,
        {("explore", 1): [checkpoint("c0"), *rows]},
        deviation={"preset": "paper", "delta": 0.0},
        rewards={"mode": "fixed", "rollouts": 5},
    )
    return root


@pytest.fixture(scope="session")
def url(hostile: Path) -> Iterator[str]:
    with served_beside(hostile, 4390) as url:
        assert url
        yield url


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """A page whose errors, and requests to anywhere but the server, fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    page.on("request", lambda asked: faults.append(asked.url) if _elsewhere(asked.url) else None)
    yield page
    context.close()
    assert faults == []


def _elsewhere(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:", "file:", "about:"))


@pytest.fixture
def published(hostile: Path) -> Published:
    return Published(hostile)


def _of_task(number: int) -> Iterator[Record]:
    """The last of the rows' texts are the hostile ones; the first task has a megabyte in a turn."""
    name = f"task-{number:02}"
    text = HOSTILE if number % 2 else f"cup {number}"
    yield task(name, f"put {text} in the sink")
    yield _run(f"e{number}", name, "expert", True)
    yield _run(f"x{number}", name, "explored", False)
    yield _run(f"r{number}", name, "calibrated", True)
    for id in (f"e{number}", f"x{number}", f"r{number}"):
        for place in range(3):
            yield _step(id, place, LONG if number == 4 and place == 2 else text)
    yield from _evidence(number, name, text)


def _evidence(number: int, name: str, text: str) -> Iterator[Record]:
    before, after = f"before{number}", f"after{number}"
    won = 1 + number % 5
    yield scored_turn(before, "expert", trajectory_id=f"e{number}", step_index=0).model_copy(
        update={"task_id": name}
    )
    yield scored_turn(after, "explored", trajectory_id=f"x{number}", step_index=1).model_copy(
        update={"task_id": name}
    )
    for row in (*rollouts(before, [1.0] * won + [0.0] * (5 - won)), *rollouts(after, [0.0] * 5)):
        yield _hostile_rollout(row, text)
    yield deviation(
        f"d{number}",
        "deviated",
        (before, won / 5, 5),
        (after, 0.0, 5),
        task_id=name,
        expert_trajectory_id=f"e{number}",
        explored_trajectory_id=f"x{number}",
        explored_action=text,
    )
    repair = calibration(f"c{number}", "expert_suffix", None, deviation_id=f"d{number}")
    yield repair.model_copy(update={"task_id": name, "trajectory_id": f"r{number}", "reflection": text})
    trained = example(f"s{number}", "calibrated", f"c{number}", f"d{number}", weight=1.25)
    yield trained.model_copy(update={"task_id": name, "trajectory_id": f"r{number}", "target_from": 2})
    yield evaluation(f"v{number}", text[:200], number % 3 > 0, task_id=name, trajectory_id=f"x{number}")


def _hostile_rollout(row: RolloutRecord, text: str) -> RolloutRecord:
    return row.model_copy(update={"actions": [text, f"go {row.sample_index}"], "first_turn": text})


def _run(id: str, name: str, kind: TrajectoryKind, success: bool) -> TrajectoryRecord:
    changed = {"trajectory_id": id, "task_id": name, "kind": kind, "n_steps": 3, "success": success}
    return trajectory(id).model_copy(
        update=changed
        | {"outcome": float(success), "end_reason": "done" if success else "step_cap", "prefix_steps": 0}
    )


def _step(id: str, place: int, text: str) -> StepRecord:
    origin = {"e": "expert", "x": "policy"}.get(id[0], "deviation" if place == 1 else "repair")
    return StepRecord.model_validate(
        {
            "trajectory_id": id,
            "step_index": place,
            "origin": origin,
            "text": f"Thought: {text}\nAction: {text}",
            "thought": text,
            "action": text,
            "observation": text,
            "valid": True,
            "tokens": 7,
        }
    )
