"""Servers that are not there, are none, die, hang or are full: one line, in time, and episodes go on or end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket

from environments.base import EnvironmentFault, EpisodeFault, StepResult
from environments.openenv.serving.app import app_of
from environments.openenv.world import OpenEnv
from environments.states import attempts
from environments.template.world import ROOMS, House, World
from rollouts.play import EpisodeSettings, play, start_of
from steca.action_formats import REACT
from steca.types import Turn
from tests.support.openenv_servers import Running, served, website
from tests.support.own_worlds import Counted, Failing, completed, expert_actions
from tests.support.rollouts_toys import GREEDY, Toy, config

SCHEMA = {"properties": {"command": {"type": "string"}}, "required": ["command"]}
SHOWN = {"properties": {"text": {"type": "string"}}}
PAGES: dict[str, Any] = {
    "/metadata": {"name": "toy", "version": "1"},
    "/schema": {"action": SCHEMA, "observation": SHOWN, "state": {}},
}

LATE = 9
"""The server dies before this step."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WAITS", (0.0, 0.0))


def test_what_is_no_openenv_server_is_told_in_one_line() -> None:
    with pytest.raises(
        EnvironmentFault, match=r"no OpenEnv server answers at http://127\.0\.0\.1:1/metadata: "
    ):
        OpenEnv({"url": "http://127.0.0.1:1"})
    for pages, told in (
        ({}, "there is no OpenEnv server at .*/metadata: it has no such page"),
        ({"/metadata": "<html>"}, "answers with something else than JSON"),
        ({"/metadata": {}}, "there is no OpenEnv server at .*/schema"),
        ({**PAGES, "/schema": {"action": SCHEMA}}, "has no schema of an observation"),
    ):
        with website(pages) as url, pytest.raises(EnvironmentFault, match=told) as raised:
            OpenEnv({"url": url})
        assert "\n" not in str(raised.value)
    with website(PAGES) as url:
        assert OpenEnv({"url": f"{url}/"}).live_environments == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "environment.options: url: is missing"),
        ({"url": "localhost:8000"}, "environment.options: url: got 'localhost:8000'"),
        ({"url": "http://x", "rewards": "sum"}, "unknown field rewards; did you mean reward"),
        ({"url": "http://x", "range": [1, 0]}, "range must be the lowest and the highest reward"),
        ({"url": "http://x", "live_environments": 0}, "live_environments: got 0"),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(EnvironmentFault, match=told):
        OpenEnv(options)


def test_a_server_that_dies_ends_its_episodes_and_nothing_hangs() -> None:
    with served(World()) as server:
        world = completed(OpenEnv({"url": server.url}))
        task = world.tasks("train", 1, 0)[0]
        _, state = world.begin(task)
        server.die()
        with pytest.raises(EpisodeFault, match=r"ConnectionError: .*\(3 attempts\)"):
            world.advance(state, "enter hall")
        with pytest.raises(EpisodeFault, match=r"ConnectionError: .*\(3 attempts\)"):
            world.begin(task)
        world.close()


def test_an_episode_goes_on_when_the_server_is_started_again() -> None:
    with served(World()) as server:
        world = completed(OpenEnv({"url": server.url, "live_environments": 8}))
        states = [world.begin(task)[1] for task in world.tasks("train", 4, 0)]
        states = [world.advance(state, "enter hall")[1] for state in states]
        server.die()
        again = Running(app_of(completed(World()), 20), server.port)
        try:
            for state in states:
                assert world.advance(state, "enter attic")[0].observation.startswith("You are in the attic.")
        finally:
            world.close()
            again.die()


def test_an_episode_that_is_lost_ends_and_a_world_that_is_lost_stops_the_stage() -> None:
    settings, house = EpisodeSettings(config().environment), House()
    with served(World()) as server:
        world = completed(OpenEnv({"url": server.url}))
        starts = [start_of(world, task, 0) for task in world.tasks("train", 20, 0)]
        local = World().tasks("train", 20, 0)
        quick = min(
            starts, key=lambda start: len(expert_actions(local[json.loads(start.task.payload)["index"]]))
        )
        others = [start for start in starts if start.first_observation != quick.first_observation]

        def act(now: Any) -> str:
            if now.first_observation == quick.first_observation:
                return REACT.text(house.expert_turn(now.first_observation, now.steps) or Turn("", "look"))
            if len(now.steps) == LATE:
                server.die()
            return REACT.text(Turn("Go on.", f"enter {ROOMS[len(now.steps)]}"))

        ended = play(world, Toy(act), [quick, others[0]], GREEDY, settings)
        assert [run.trajectory.end for run in ended] == ["done", "environment_fault"]
        assert len(ended[1].trajectory.steps) == LATE
        with pytest.raises(
            EnvironmentFault, match=r"the world lost 8 episodes in a row, .* ConnectionError: "
        ):
            play(world, Toy(act), others, GREEDY, settings)
        world.close()


class Silent(World):
    """One of its steps takes longer than the client waits."""

    blocking = True

    def environment(self) -> House:
        return SilentHouse()


class SilentHouse(House):
    def step(self, action: str) -> StepResult:
        time.sleep(0.4 if action == "sleep" else 0)
        return super().step(action)


def test_a_server_that_does_not_answer_is_a_timeout() -> None:
    with served(Silent()) as server:
        world = OpenEnv({"url": server.url, "timeout": 0.1})
        environment = world.environment()
        task = world.tasks("train", 1, 0)[0]
        first = environment.reset(task, 0)
        with pytest.raises(TimeoutError, match=r"no answer to step in 0\.1 seconds"):
            environment.step("sleep")
        with pytest.raises(ConnectionError, match="the session has ended"):
            environment.step("enter hall")
        assert environment.reset(task, 0) == first
        environment.close()


def test_a_full_server_says_how_many_sessions_it_holds_and_frees_them() -> None:
    own = Counted(live=2)
    with served(own) as server:
        world = OpenEnv({"url": server.url, "live_environments": 5})
        task = world.tasks("train", 1, 0)[0]
        first, second, third = (world.environment() for _ in range(3))
        first.reset(task, 0)
        second.reset(task, 0)
        with pytest.raises(
            ConnectionError, match=r"all 2 sessions are in use: let it hold more .*here 2 for all"
        ):
            third.reset(task, 0)
        first.close()
        _until(lambda: own.made[0].closed)
        third.reset(task, 0)
        assert [house.closed for house in own.made] == [True, False, False]
        assert OpenEnv({"url": server.url}).live_environments == 2


def test_a_session_whose_environment_fails_ends() -> None:
    """What is a lost connection behind the server is one in front of it too, and no answer to the action."""
    own = Failing(at=[2])
    with served(own) as server:
        world = completed(OpenEnv({"url": server.url}))
        _, state = world.begin(world.tasks("train", 1, 0)[0])
        for room in ("hall", "attic"):  # the second step fails, and is played again in another session
            result, state = world.advance(state, f"enter {room}")
            assert result.observation.startswith(f"You are in the {room}.")
        assert len(own.made) == 2
        world.close()


@pytest.mark.parametrize(
    "said", ["not JSON", '{"type": "observation"}', '{"type": "observation", "data": {}}']
)
def test_answers_of_another_protocol_are_a_lost_connection(said: str) -> None:
    for server in _answering(said):
        environment = OpenEnv({"url": server.url}).environment()
        with pytest.raises(ConnectionError):
            environment.reset(OpenEnv({"url": server.url}).tasks("train", 1, 0)[0], 0)


def _answering(said: str) -> Iterator[Running]:
    """A server whose sessions always say the same."""
    app = FastAPI()
    for path, page in PAGES.items():
        app.get(path)(lambda page=page: page)

    @app.websocket("/ws")
    async def session(socket: WebSocket) -> None:
        await socket.accept()
        async for _ in socket.iter_text():
            await socket.send_text(said)

    server = Running(app)
    yield server
    server.die()


def _until(condition: Any) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
