"""From a page to Prefect: the only file here that calls it."""

from __future__ import annotations

import sys
from collections.abc import Callable

from flows.artifacts.markdown import inline
from flows.artifacts.page import Page
from flows.faults import StageFault
from flows.reporting.flow_run import current_flow_run
from storage.faults import StorageFault


def publish(make: Callable[[], Page], what: str) -> None:
    """Make a page and publish it in the current flow run; nothing outside of one. A page is no result: whatever goes
    wrong is logged, with the traceback where it is a defect, and the run goes on."""
    if "prefect" not in sys.modules:  # not imported for this: stages also run without it
        return
    if current_flow_run():
        _publish(make, what)


def _publish(make: Callable[[], Page], what: str) -> None:
    import httpx
    from prefect.artifacts import create_markdown_artifact
    from prefect.exceptions import PrefectException
    from prefect.logging import get_run_logger

    try:
        page = make()
        create_markdown_artifact(page.markdown, key=page.key, description=inline(page.description))
    except (StorageFault, StageFault, httpx.HTTPError, PrefectException) as fault:
        # a damaged store or run file; a server that is away or refuses
        get_run_logger().warning(
            "the page of %s was not published: %s", what, str(fault) or type(fault).__name__
        )
    except Exception:
        get_run_logger().warning("the page of %s was not published, by a defect:", what, exc_info=True)
