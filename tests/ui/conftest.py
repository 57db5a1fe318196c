"""A browser, and a `steca serve` for it. Without Chromium or playwright these tests are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.ui.pictures import FOLDER, save
from tests.ui.screens import Screens
from tests.ui.serving import PICTURES, SECONDS, Serving, configurations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
DEMO = Path("/tmp/steca-demo")
"""Where the factory of the pictures is: the path is in them."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if PICTURES:
        kept = [item for item in items if "picture" in item.fixturenames and "V1" not in item.name]  # type: ignore[attr-defined]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(4 * SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any) -> Any:
    """Where a test of a page fails, show where the picture of the page is."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if report.failed and report.when == "call" and page:
        picture = item.funcargs["tmp_path"] / "failed.png"
        from playwright.sync_api import Error

        with suppress(Error):  # a Chromium that hangs must not hang the tests
            page.screenshot(path=picture, full_page=True, timeout=20_000)
        report.sections.append(("browser", f"{page.url}\nscreenshot: {picture}"))
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that the environment variable CHROMIUM names."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make ui")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip(f"no Chromium: none of {', '.join(NAMES)} is on the PATH, and CHROMIUM is not set")
    with playwright.sync_playwright() as started:
        # root may not use the sandbox; /dev/shm is small in containers
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = started.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def serving(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = DEMO if PICTURES else tmp_path_factory.mktemp("operating")
    if PICTURES:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    configurations(folder / "configs")
    serving = Serving(folder)
    try:
        serving.start()
        yield serving
    finally:
        serving.stop()


@pytest.fixture
def page(browser: Browser, serving: Serving, tmp_path: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, timezone_id="UTC", locale="en-US")
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


@pytest.fixture
def v2(page: Page, serving: Serving) -> Screens:
    return Screens(page, serving)


@pytest.fixture(params=["V2", "V1"])
def each(page: Page, serving: Serving, request: pytest.FixtureRequest) -> Screens:
    """Both UIs."""
    return Screens(page, serving, request.param)


@pytest.fixture
def picture(page: Page) -> Callable[..., None]:
    """Saves a picture for the documentation where they are asked for, in the UI V2 only."""

    def take(name: str, height: int = 900) -> None:
        if PICTURES and "/v2/" in page.url:
            save(page, FOLDER / f"{name}.png", height)

    return take


@pytest.fixture(scope="session")
def finished(serving: Serving) -> str:
    """The flow run of a finished run of the quick start."""
    run = serving.api.start("quickstart")
    assert serving.api.wait(run, 900)["state_type"] == "COMPLETED", serving.api.run(run)["state"]
    return run
