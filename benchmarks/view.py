"""How fast the pages of `steca view` are on a store of 100,000 trajectories and 1 M rollouts.

    python -m benchmarks.view [--steps 1000000] [--repeats 5] [--data-dir DIR]

Makes the store of benchmarks/store.py (or takes the one in DIR), serves it, asks the server for everything that the
pages ask for, and opens the pages in Chromium (extra `ui`): the first paint, and until the data are shown. Medians;
every load has an empty browser cache. Three minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.store import write
from storage.store import Store
from view.serving.serve import served_beside

RUN = "benchmark-0"
LISTS = {
    "list, first page": "",
    "list, page 1,500": "page=1500",
    "list, deviated, lowest gap first": "verdict=deviated&order=gap",
    "list, one task type": "type=type%203",
    "list, lowest step reward up to .2": "value_to=0.2",
    "list, search in all texts": "q=shelf%2042",
}
SHOWN = {
    "list of runs": ("#/", "tbody tr"),
    "page of a run": (f"#/run/{RUN}", ".cards"),
    "threshold": (f"#/run/{RUN}/bench", ".cards"),
    "trajectories": (f"#/run/{RUN}/trajectories", "tbody tr"),
    "a trajectory": (f"#/run/{RUN}/trajectory/{{id}}", ".turn"),
}


def asked(url: str, repeats: int) -> Iterator[tuple[str, float]]:
    """(what is asked for, median seconds)."""
    of_run = f"{url}api/runs/{RUN}"
    first = json.load(urllib.request.urlopen(f"{of_run}/trajectories"))["rows"][0]["trajectory_id"]
    paths = {"runs": f"{url}api/runs", "page of a run": of_run, "filters": f"{of_run}/facets"}
    paths |= {what: f"{of_run}/trajectories?{query}" for what, query in LISTS.items()}
    paths["trajectory"] = f"{of_run}/trajectories/{first}"
    paths["its neighbours"] = f"{of_run}/trajectories/{first}/neighbours"
    paths["its rollouts"] = f"{url}api/rollouts/explored{first[1:]}"
    paths |= {
        f"threshold, {name}": f"{of_run}/bench?preset={name}" for name in ("paper", "release", "sequential")
    }
    for what, path in paths.items():
        taken = []
        for _ in range(repeats):
            began = time.perf_counter()
            urllib.request.urlopen(path).read()
            taken.append(time.perf_counter() - began)
        yield what, median(taken)


def painted(url: str, repeats: int) -> Iterator[tuple[str, float, float]]:
    """(page, median seconds to the first paint, until the data are shown), in fresh browsers."""
    from playwright.sync_api import sync_playwright

    id = json.load(urllib.request.urlopen(f"{url}api/runs/{RUN}/trajectories"))["rows"][0]["trajectory_id"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for what, (address, sign) in SHOWN.items():
            paints, shown = [], []
            for _ in range(repeats):
                page = browser.new_context().new_page()
                page.goto(url + address.format(id=id))
                page.locator(sign).first.wait_for()
                shown.append(page.evaluate("performance.now()") / 1000)
                paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
                paints.append(page.evaluate(paint) / 1000)
                page.context.close()
            yield what, median(paints), median(shown)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    with ExitStack() as stack:
        root = options.data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not Store(root).published.exists():
            write(root, options.steps, 200)
            Store(root).ingest()
        url = stack.enter_context(served_beside(root, 4390))
        answers = Table("the server is asked for", "seconds")
        for what, seconds in asked(url, options.repeats):
            answers.add_row(what, f"{seconds:.3f}")
        pages = Table("page", "first paint, seconds", "data shown, seconds")
        for what, paint, shown in painted(url, options.repeats):
            pages.add_row(what, f"{paint:.3f}", f"{shown:.3f}")
        Console().print(answers, pages)


if __name__ == "__main__":
    main()
