"""Our server: messages, tasks, single requests, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from environments.base import EnvironmentFault, Task
from environments.openenv.serving.app import app_of
from environments.openenv.serving.listing import Listing
from environments.openenv.serving.session import Session
from environments.template.world import House, World
from tests.support.own_worlds import Failing, completed


def session(own: Any = None) -> Session:
    world = completed(own or World())
    return Session(world.own.environment, Listing(world, 10))


def ask(one: Session, kind: str, **data: Any) -> tuple[str, dict[str, Any]]:
    answer = json.loads(one.answer(json.dumps({"type": kind, "data": data})) or "null")
    return answer["type"], answer["data"]


def client(own: Any = None) -> TestClient:
    return TestClient(app_of(completed(own or World()), 10))


def test_an_episode_is_an_exchange_of_messages() -> None:
    one, mine = session(), House()
    task = World().tasks("seen", 10, 0)[3]
    first = mine.reset(task, 0)
    assert ask(one, "reset", split="seen", index=3) == (
        "observation",
        {"observation": {"text": first, "valid": True}, "reward": None, "done": False},
    )
    _, start, parcel, goal = ["", *task.payload.split()]
    for command in (f"enter {parcel}", "take parcel", f"enter {goal}"):
        assert ask(one, "step", command=command)[1]["reward"] == 0.0
    kind, said = ask(one, "step", command="drop parcel", metadata={"tag": 1})
    assert (kind, said["reward"], said["done"]) == ("observation", 1.0, True)
    _, state = ask(one, "state")
    assert (state["step_count"], state["task_id"], state["split"]) == (4, task.task_id, "seen")
    assert start in first
    kind, said = ask(one, "step", command="look")
    assert (kind, said["code"], said["message"]) == (
        "error",
        "EXECUTION_ERROR",
        "the episode is over: reset first",
    )
    assert ask(one, "reset", episode_id="mine", seed=1)[0] == "observation"
    assert ask(one, "state")[1]["episode_id"] == "mine"


def test_a_seed_chooses_a_task_of_the_first_split_and_an_id_any() -> None:
    one, tasks = session(), World().tasks("train", 10, 0)
    for seed in (0, 3, 23):
        assert ask(one, "reset", seed=seed)[1]["observation"]["text"] == House().reset(tasks[seed % 10], 0)
    assert ask(one, "reset", task_id=tasks[5].task_id)[1]["observation"]["text"] == House().reset(tasks[5], 0)
    assert ask(one, "reset")[0] == "observation"


@pytest.mark.parametrize(
    ("message", "code", "told"),
    [
        ("no json", "INVALID_JSON", "a message is JSON"),
        ("[1]", "INVALID_JSON", "a message is JSON"),
        ({"type": "jump"}, "UNKNOWN_TYPE", "jump"),
        ({"type": "step", "data": {"text": "look"}}, "VALIDATION_ERROR", "Invalid message"),
        ({"type": "step", "data": 7}, "VALIDATION_ERROR", "Invalid message"),
        ({"type": "step", "data": {"command": "look"}}, "EXECUTION_ERROR", "not begun: reset first"),
        ({"type": "reset", "data": {"seed": -1}}, "VALIDATION_ERROR", "Invalid message"),
        (
            {"type": "reset", "data": {"split": "x"}},
            "EXECUTION_ERROR",
            "there is no split 'x'; there are train, ",
        ),
        ({"type": "reset", "data": {"index": 10}}, "EXECUTION_ERROR", "split train has 10 tasks"),
        ({"type": "reset", "data": {"task_id": "x"}}, "EXECUTION_ERROR", "there is no task 'x'"),
    ],
)
def test_what_cannot_be_done_is_told_and_the_session_goes_on(message: Any, code: str, told: str) -> None:
    one = session()
    answer = json.loads(one.answer(message if isinstance(message, str) else json.dumps(message)) or "")
    assert (answer["type"], answer["data"]["code"]) == ("error", code)
    assert told in answer["data"]["message"]
    assert not one.ended
    assert ask(one, "reset")[0] == "observation"


def test_an_environment_that_raises_ends_its_session() -> None:
    one = session(Failing(at=[1]))
    ask(one, "reset")
    kind, said = ask(one, "step", command="look")
    assert (kind, said["code"]) == ("error", "SESSION_ERROR")
    assert "the server is gone" in said["message"]
    assert one.ended


def test_tasks_are_listed_without_their_payload() -> None:
    with client() as http:
        [name] = http.get("/list_environments").json()
        assert [split["name"] for split in http.get(f"/{name}/splits").json()] == [
            *("train", "validation", "seen", "unseen")
        ]
        tasks = http.post(f"/{name}/tasks", json={"split": "seen"}).json()["tasks"]
        assert [task["index"] for task in tasks] == list(range(10))
        assert "payload" not in tasks[0]
        assert http.post(f"/{name}/num_tasks", json={"split": "seen"}).json() == {"num_tasks": 10}
        assert http.post(f"/{name}/task", json={"split": "seen", "index": 4}).json() == {"task": tasks[4]}
        part = http.post(f"/{name}/task_range", json={"split": "seen", "start": 2, "stop": 4}).json()
        assert part == {"tasks": tasks[2:4]}
        assert http.post(f"/{name}/task", json={"split": "seen", "index": 10}).status_code == 400
        assert http.post(f"/{name}/tasks", json={"split": "x"}).status_code == 400
        assert http.get("/other/splits").status_code == 404


def test_single_requests() -> None:
    with client() as http:
        assert (
            http.post("/reset", json={"seed": 2}).json()["observation"]["text"].startswith("You are in the ")
        )
        assert http.post("/reset", json={"task_id": "x"}).status_code == 400
        assert http.post("/step", json={"action": {"command": "look"}}).status_code == 409
        assert http.get("/state").json()["step_count"] == 0
        assert http.get("/health").json() == {"status": "healthy"}


@pytest.mark.parametrize(("most", "there"), [(3, 3), (5, 5), (6, 5), (100, 5)])
def test_a_split_with_fewer_tasks_is_served_whole(most: int, there: int) -> None:
    class Small(World):
        def tasks(self, split: str, count: int, seed: int) -> list[Task]:
            if count > 5:
                raise EnvironmentFault("too few")
            return super().tasks(split, count, seed)

    assert len(Listing(completed(Small()), most).of("seen")) == there


def test_a_world_without_tasks_is_refused_with_its_own_reason() -> None:
    class Empty(World):
        def tasks(self, split: str, count: int, seed: int) -> list[Task]:
            raise EnvironmentFault("the data are missing")

    with pytest.raises(EnvironmentFault, match="the data are missing"):
        Listing(completed(Empty()), 10)
