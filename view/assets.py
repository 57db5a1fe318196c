"""The page: its shell, style and scripts, from a server or inside one file.

The scripts are ES modules that import each other by name. An import map says where each is: at the server's address,
or, in a file that needs no server, in the file itself as a data URL. So nothing has to be bundled or built.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

STATIC = Path(__file__).parent / "static"
LIBRARIES = {"preact": "preact.mjs", "preact/hooks": "hooks.mjs", "htm": "htm.mjs"}
CHARTS = ("d3.min.js", "plot.umd.min.js")
"""Loaded when a page first draws something: they are 40 times as large as everything else."""


MARK = b'<meta name="generator" content="steca">'
"""In every page, near its beginning."""


def modules() -> dict[str, Path]:
    """By the name that scripts import, the file of each module."""
    own = {f"view/{file.stem}": file for file in sorted((STATIC / "app").glob("*.js"))}
    return {**{name: STATIC / "vendor" / file for name, file in LIBRARIES.items()}, **own}


def server_page() -> str:
    """The page as the server gives it. Modules are preloaded behind the import map only: one that is read before it
    cannot find those that it imports."""
    urls = {name: f"/static/{file.relative_to(STATIC).as_posix()}" for name, file in modules().items()}
    charts = [f"/static/vendor/{file}" for file in CHARTS]
    preload = "".join(f'<link rel="modulepreload" href="{url}">' for url in urls.values())
    style = f'<link rel="stylesheet" href="/static/style.css">{preload}'
    return _page(style, urls, _script({"charts": charts}))


def file_page(data: str) -> str:
    """The page as one file. `data`: scripts that hold what it shows."""
    urls = {name: _data_url(file) for name, file in modules().items()}
    charts = [_data_url(STATIC / "vendor" / file) for file in CHARTS]
    style = f"<style>{(STATIC / 'style.css').read_text()}</style>"
    return _page(style, urls, _script({"charts": charts}) + data)


def is_page(file: Path) -> bool:
    """Whether it is a file that `file_page` made."""
    with file.open("rb") as opened:
        return MARK in opened.read(1000)


def _page(style: str, urls: dict[str, str], scripts: str) -> str:
    parts = {"STYLE": style, "IMPORTS": json.dumps({"imports": urls}), "SCRIPTS": scripts}
    page = (STATIC / "index.html").read_text()
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text)
    return page


def _script(settings: object) -> str:
    return f"<script>globalThis.STECA = {json.dumps(settings)}</script>"


def _data_url(file: Path) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(file.read_bytes()).decode()}"
