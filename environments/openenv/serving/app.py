"""The application: sessions over WebSockets, and what a client may ask before it opens one."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool

from configs.load import load_config
from environments.complete import CompleteWorld
from environments.openenv.serving.listing import Listing, Refusal, spec
from environments.openenv.serving.messages import (
    Command,
    EpisodeState,
    OfSplit,
    OneTask,
    Reset,
    Said,
    TaskRange,
    observation,
)
from environments.openenv.serving.session import Session, error
from environments.registry import open_world

TASKS = 100
"""Tasks of each split that are served if no number is given."""


def app_of_file(config: Path, tasks: int = TASKS) -> FastAPI:
    """The application of a configuration's world. Raises ConfigFault and EnvironmentFault."""
    return app_of(open_world(load_config(config).environment), tasks)


def app_of(world: CompleteWorld, tasks: int = TASKS) -> FastAPI:
    """Serves up to `tasks` tasks of each split. Raises EnvironmentFault for a world without tasks."""
    listing = Listing(world, tasks)

    def session() -> Session:
        return Session(world.make_environment, listing)

    app = FastAPI(title="OpenEnv Environment HTTP API", version="1.0.0")
    app.include_router(_about(world))
    app.include_router(_single(session))
    app.include_router(_sessions(session, world.live_environments, world.blocking))
    app.include_router(_tasks(public_name(world), listing))
    return app


def public_name(world: CompleteWorld) -> str:
    """The world's name as a part of URLs."""
    return re.sub(r"[^\w.-]+", "-", world.name).strip("-.")


def _about(world: CompleteWorld) -> APIRouter:
    router = APIRouter()

    @router.get("/health")
    def health() -> dict[str, str]:
        return {"status": "healthy"}

    @router.get("/metadata")
    def metadata() -> dict[str, Any]:
        return {
            "name": public_name(world),
            "description": f"The world {world.name}, served by steca",
            "version": world.version,
            "max_concurrent_envs": world.live_environments,
        }

    @router.get("/schema")
    def schema() -> dict[str, Any]:
        return {
            "action": Command.model_json_schema(),
            "observation": Said.model_json_schema(),
            "state": EpisodeState.model_json_schema(),
        }

    @router.post("/mcp")
    def mcp() -> dict[str, Any]:
        """JSON-RPC's answer to a method that is not there: actions are text, and there are no tools."""
        return {
            "jsonrpc": "2.0",
            "id": None,
            "error": {"code": -32601, "message": "there are no tools: use /ws"},
        }

    return router


def _single(begin: Callable[[], Session]) -> APIRouter:
    """Single requests. Each has, as in OpenEnv, an environment of its own, so episodes need a session."""
    router = APIRouter()

    @router.post("/reset")
    def reset(wanted: Reset) -> dict[str, Any]:
        session = begin()
        try:
            return observation(session.reset(wanted))
        except Refusal as problem:
            raise HTTPException(400, str(problem)) from None
        finally:
            session.close()

    @router.post("/step")
    def step() -> dict[str, Any]:
        raise HTTPException(409, "a step needs the session of its episode: use the WebSocket /ws")

    @router.get("/state")
    def state() -> EpisodeState:
        return EpisodeState()

    return router


def _sessions(begin: Callable[[], Session], most: int, blocking: bool) -> APIRouter:
    """`most`: sessions at a time. `blocking`: messages are answered in threads."""
    router, alive = APIRouter(), set[Session]()

    @router.websocket("/ws")
    async def session(socket: WebSocket) -> None:
        await socket.accept()
        own = begin()
        if len(alive) >= most:
            counts = {"active_sessions": len(alive), "max_sessions": most}
            await socket.send_text(error("CAPACITY_REACHED", f"all {most} sessions are in use", **counts))
            await socket.close()
            return
        alive.add(own)
        try:
            while not own.ended:
                message = await socket.receive_text()
                answer = await run_in_threadpool(own.answer, message) if blocking else own.answer(message)
                if answer is not None:
                    await socket.send_text(answer)
            await socket.close()
        except WebSocketDisconnect:
            pass
        finally:
            alive.discard(own)
            with suppress(Exception):
                own.close()

    return router


def _tasks(name: str, listing: Listing) -> APIRouter:
    router = APIRouter()

    def listed(env: str, split: str) -> list[dict[str, Any]]:
        if env.lower() != name.lower():
            raise HTTPException(404, f"there is no environment {env!r} here, only {name}")
        try:
            return [spec(task, index) for index, task in enumerate(listing.of(split))]
        except Refusal as problem:
            raise HTTPException(400, str(problem)) from None

    @router.get("/list_environments")
    def environments() -> list[str]:
        return [name]

    @router.get("/{env}/splits")
    def splits(env: str) -> list[dict[str, str]]:
        listed(env, listing.splits()[0])
        kinds = {"train": "train", "validation": "validation"}
        return [{"name": split, "type": kinds.get(split, "test")} for split in listing.splits()]

    @router.post("/{env}/tasks")
    def tasks(env: str, of: OfSplit) -> dict[str, Any]:
        return {"tasks": listed(env, of.split), "env_name": name}

    @router.post("/{env}/num_tasks")
    def num_tasks(env: str, of: OfSplit) -> dict[str, int]:
        return {"num_tasks": len(listed(env, of.split))}

    @router.post("/{env}/task")
    def task(env: str, one: OneTask) -> dict[str, Any]:
        found = listed(env, one.split)
        if one.index >= len(found):
            raise HTTPException(400, f"split {one.split} has {len(found)} tasks")
        return {"task": found[one.index]}

    @router.post("/{env}/task_range")
    def task_range(env: str, wanted: TaskRange) -> dict[str, Any]:
        return {"tasks": listed(env, wanted.split)[wanted.start : wanted.stop]}

    return router
