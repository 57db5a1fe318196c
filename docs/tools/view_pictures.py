"""Draws the pictures of docs/view.md from a store of the quick start.

    python -m docs.tools.view_pictures [DATA_DIR]

Needs the extra `ui`, and Chromium. Serves the store, opens its pages and saves them as PNG files of few colours.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from view.published import Published
from view.queries.listing import Filter, listed
from view.queries.runs import runs
from view.serving.serve import served_beside

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = Path(__file__).parents[1] / "images" / "view"
DESKTOP, PHONE = (1280, 860), (390, 780)
COLOURS = 64


def main(root: Path) -> None:
    """Make all pictures anew."""
    from playwright.sync_api import sync_playwright

    with served_beside(root.resolve(), 4390) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for size, suffix in ((DESKTOP, ""), (PHONE, "-phone")):
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            for name, address in _addresses(root):
                page.goto("about:blank")
                page.goto(url + address)
                page.wait_for_timeout(1500)  # charts are drawn
                _before(page, name)
                _save(page, FOLDER / f"{name}{suffix}.png")
        browser.close()


def _addresses(root: Path) -> Iterator[tuple[str, str]]:
    """(name of the picture, address of the page) of the newest run that has deviated turns."""
    published = Published(root)
    run = next(row["run_id"] for row in runs(published) if _deviated(published, row["run_id"]))
    trajectory = _deviated(published, run)[0]
    published.close()
    yield "run", f"#/run/{run}"
    yield "threshold", f"#/run/{run}/bench?preset=release&delta=-0.2"
    yield "trajectories", f"#/run/{run}/trajectories?verdict=deviated&order=gap"
    yield "trajectory", f"#/run/{run}/trajectory/{trajectory}?verdict=deviated&order=gap"
    yield "side-by-side", f"#/run/{run}/trajectory/{trajectory}?side=1"


def _deviated(published: Published, run: str) -> list[str]:
    rows = listed(published, run, Filter(verdict="deviated", kind="explored", order="gap"))["rows"]
    return [row["trajectory_id"] for row in rows]


def _before(page: Page, name: str) -> None:
    """What a reader would do first: open the rollouts of the deviated turn, go down to where the runs part."""
    if name == "trajectory":
        page.locator(".deviated-turn .rollouts-button").click()
        page.locator(".deviated-turn .tree").first.wait_for()
        page.locator(".deviated-turn").evaluate(
            "turn => turn.scrollIntoView({block: 'center', behavior: 'instant'})"
        )
    if name == "side-by-side":
        page.locator(".column .marked").first.evaluate(
            "turn => turn.scrollIntoView({block: 'center', behavior: 'instant'})"
        )
    page.wait_for_timeout(500)


def _save(page: Page, file: Path) -> None:
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    file.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
