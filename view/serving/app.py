"""The routes: pages, and the JSON that they show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from configs.faults import ConfigFault
from environments.base import EnvironmentFault
from flows.faults import StageFault
from formats.faults import FormatFault
from models.policy import PolicyFault
from storage.faults import StorageFault
from view.assets import STATIC, server_page
from view.bundle import run_report
from view.labels import Label, Labels
from view.published import Published, Row
from view.queries import bench, listing, rollouts, run, runs, trajectory
from view.serving.guard import ALONE, guard

FAULTS = (StorageFault, StageFault, ConfigFault, FormatFault, PolicyFault, EnvironmentFault)
"""What has a message for the user."""


COMPARED = (
    "SELECT 1 FROM deviations WHERE deviation_id = $id AND explored_trajectory_id = $trajectory LIMIT 1"
)


class _Place(listing.Filter):
    """A filter and a page of what it leaves."""

    page: Annotated[int, Query(ge=0, le=10_000_000)] = 0


def _run_id(run: str, request: Request) -> str:
    """An address names a run by its id, its name or the first letters of its id."""
    return runs.run_called(request.app.state.published, run)


RunId = Annotated[str, Depends(_run_id)]


def make_app(root: Path, hosts: tuple[str, ...] = ()) -> FastAPI:
    """The application for a data folder. `hosts`: names that it may be asked by, besides those of this machine."""
    published, labels = Published(root), Labels(root)

    @asynccontextmanager
    async def closing(app: FastAPI) -> AsyncIterator[None]:
        yield
        published.close()

    app = FastAPI(title="STeCa factory", docs_url=None, redoc_url=None, openapi_url=None, lifespan=closing)
    app.state.published = published
    app.middleware("http")(guard(hosts))
    for fault in FAULTS:
        app.add_exception_handler(fault, _told)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(_pages(published))
    app.include_router(_of_runs(published, labels), prefix="/api")
    app.include_router(_of_trajectories(published, labels), prefix="/api")
    return app


def _pages(published: Published) -> APIRouter:
    router = APIRouter()

    @router.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(server_page())

    @router.get("/runs/{run}/report.html")
    def report(run_id: RunId) -> HTMLResponse:
        return HTMLResponse(run_report(published, run_id), headers={"Content-Security-Policy": ALONE})

    return router


def _of_runs(published: Published, labels: Labels) -> APIRouter:
    router = APIRouter()

    @router.get("/version")
    def version() -> Row:
        return {"version": published.version(), "store": str(published.store.published)}

    @router.get("/runs")
    def all_runs() -> list[Row]:
        return runs.runs(published)

    @router.get("/runs/{run}")
    def one_run(run_id: RunId) -> Row:
        return {**run.run_page(published, run_id), "labels": labels.precision(published, run_id)}

    @router.get("/runs/{run}/bench")
    def threshold_bench(
        run_id: RunId,
        preset: str | None = None,
        delta: Annotated[float | None, Query(ge=-1, le=1)] = None,
        whole: bool = False,
    ) -> Row:
        answer = bench.bench if whole else partial(bench.first_answer, delta=delta)
        return answer(published, run_id, preset)

    @router.get("/runs/{run}/examples/{example_id}/tokens")
    def what_is_trained(run_id: RunId, example_id: str) -> Row:
        from view.queries.tokens import tokens  # loads torch, which takes seconds

        return tokens(published, run_id, example_id)

    return router


def _of_trajectories(published: Published, labels: Labels) -> APIRouter:
    router = APIRouter()

    @router.get("/runs/{run}/facets")
    def facets(run_id: RunId) -> Row:
        return listing.facets(published, run_id)

    @router.get("/runs/{run}/trajectories")
    def trajectories(run_id: RunId, asked: Annotated[_Place, Query()]) -> Row:
        return listing.listed(published, run_id, asked, asked.page)

    @router.get("/runs/{run}/trajectories/{trajectory_id}")
    def one_trajectory(run_id: RunId, trajectory_id: str) -> Row:
        found = trajectory.trajectory(published, run_id, trajectory_id)
        return {**found, "labels": labels.of(trajectory_id)}

    @router.get("/runs/{run}/trajectories/{trajectory_id}/neighbours")
    def beside(run_id: RunId, trajectory_id: str, asked: Annotated[listing.Filter, Query()]) -> Row:
        return listing.neighbours(published, run_id, asked, trajectory_id)

    @router.get("/rollouts/{step_reward_id}")
    def behind(step_reward_id: str) -> list[Row]:
        return rollouts.rollouts(published, step_reward_id)

    @router.post("/labels")
    def say(label: Label) -> Row:
        if published.row(COMPARED, id=label.deviation_id, trajectory=label.trajectory_id) is None:
            raise StorageFault(
                f"no comparison {label.deviation_id} is about trajectory {label.trajectory_id}"
            )
        labels.add(label)
        return {"labels": labels.of(label.trajectory_id)}

    return router


async def _told(request: Request, fault: Exception) -> JSONResponse:
    """A fault as the pages show it: one sentence that says what to do."""
    return JSONResponse({"error": str(fault)}, status_code=_status(fault))


def _status(fault: Exception) -> int:
    """Of what is not there, of what this machine refuses, and of what was asked wrongly."""
    if isinstance(fault.__cause__, OSError):
        return 500
    return 404 if isinstance(fault, StorageFault) else 400
