"""The pictures in docs/operating.md: small files, a palette of few colours."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tests.support.tiny_factory import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = ROOT / "docs" / "images" / "operating"
WIDTH, COLOURS = 1280, 48


def save(page: Page, file: Path, height: int) -> None:
    """The upper part of a page, WIDTH wide."""
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.evaluate("document.querySelectorAll('*').forEach(each => { each.scrollTop = 0 })")
    page.wait_for_timeout(1500)  # what moves comes to rest
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    file.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    page.set_viewport_size({"width": WIDTH, "height": 900})
