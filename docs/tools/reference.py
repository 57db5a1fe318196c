"""The pages of docs/reference/, from the code: every setting, every command, every table and view.

    python -m docs.tools.reference        write them anew (`make reference`)

A test compares the pages with the code, so that they are never behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.tools.command_reference import commands_page
from docs.tools.setting_reference import settings_page
from docs.tools.store_reference import store_page

FOLDER = Path(__file__).parents[1] / "reference"
NOTICE = "<!-- Written by `make reference` from the code. Change the code, not this page. -->\n"
PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "store.md": store_page,
}
"""By file, what writes its text."""


def written() -> dict[str, str]:
    """The text of every page, by its file."""
    return {file: f"{NOTICE}\n{page()}" for file, page in PAGES.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in written().items():
        (FOLDER / file).write_text(text)
        print(FOLDER / file)
