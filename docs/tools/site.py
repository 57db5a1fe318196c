"""Builds the site of docs/ in the folder site/html, strictly: a link or an anchor that leads nowhere is an error.

    python -m docs.tools.site        (`make docs`)

The pages are those of docs/, which read the same on GitHub. What differs is made here, in a copy of them: the order
of the pages (that of docs/README.md), the pages at the root of the repository, and the notebook as a page. The site
loads nothing from other hosts. It is built by Zensical, which the makers of Material for MkDocs made its successor:
Material ends in May 2027.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from configs.child_environment import environment_without_secrets
from docs.tools.notebook import NOTEBOOK, as_page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WORK = ROOT / "site"
"""Holds the copy that is built from, and the site."""
AT_ROOT = {
    "README.md": "overview.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""By page at the root of the repository, its name in the site."""
SHIM = "https://unpkg.com/iframe-worker/shim"
"""What the theme loads for the search of a site that is opened from a folder. docs/javascripts/ has a copy."""
_LINK = re.compile(r"(\]\()([^)\s#]+)([)#])")
_FILE_NAME = re.compile(r"\[[\w./-]+\.(?:md|ipynb)\]\(([^)#]+)")
"""A link whose text is the name of a file: good on GitHub, but a reader of the site wants the title."""


def contents(index: str) -> list[dict[str, Any]]:
    """The order of the pages: by heading of docs/README.md, the pages that its table links to."""
    parts: list[dict[str, Any]] = [{"Home": "README.md"}]
    for heading, part in re.findall(r"^## (.*?)$(.*?)(?=^## |\Z)", index, re.M | re.S):
        pages = re.findall(r"^\| \[[^\]]*\]\(([^)#]+)\)", part, re.M)
        parts.append({heading: [in_site(page, "") for page in pages]})
    return parts


def in_site(link: str, folder: str) -> str:
    """Where a link of a page leads in the site. `folder`: "docs/" for pages at the root, which see docs/ so."""
    name = link.removeprefix("../")
    if name in AT_ROOT and (link != name or folder):
        return AT_ROOT[name]
    return link.removeprefix(folder).replace(".ipynb", ".md")


def as_in_site(text: str, folder: str = "") -> str:
    """A page with its links as they are in the site."""
    named = _FILE_NAME.sub(lambda found: f"[{title(found[1])}]({found[1]}", text)
    return _LINK.sub(lambda found: found[1] + in_site(found[2], folder) + found[3], named)


def title(link: str) -> str:
    """The title of the page that a link of any page leads to; its name if it has none."""
    name = link.removeprefix("../").removeprefix("docs/")
    places = (folder / name for folder in (DOCS, ROOT, DOCS / "reference"))
    found = next((place for place in places if place.is_file()), None)
    text = found.read_text() if found else ""
    if link.endswith(".ipynb"):
        text = "".join(json.loads(text)["cells"][0]["source"])
    heading = re.search(r"^# (.*)$", text, re.M)
    return heading[1] if heading else name


def prepare(work: Path) -> Path:
    """Copy and adapt the pages. The path of the configuration for the builder."""
    shutil.rmtree(work, ignore_errors=True)
    pages = work / "pages"
    shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns("tools", "*.ipynb", "__pycache__"))
    for page in pages.rglob("*.md"):
        page.write_text(as_in_site(page.read_text()))
    for at_root, name in AT_ROOT.items():
        (pages / name).write_text(as_in_site((ROOT / at_root).read_text(), "docs/"))
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    notebook = as_page(cells, pages / "images" / "explore", "images/explore")
    (pages / "explore.md").write_text(as_in_site(notebook))
    config = work / "mkdocs.yml"
    more = {"docs_dir": "pages", "site_dir": "html", "nav": contents((DOCS / "README.md").read_text())}
    config.write_text((ROOT / "mkdocs.yml").read_text() + yaml.safe_dump(more, sort_keys=False))
    return config


def build(config: Path) -> int:
    """Run the builder; 0 if nothing is wrong."""
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", str(config)]
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    code = subprocess.run(command, env={**environment_without_secrets(), "PYTHONPATH": paths}).returncode
    for page in (config.parent / "html").rglob("*.html"):
        up = "../" * (len(page.relative_to(config.parent / "html").parts) - 1)
        page.write_text(page.read_text().replace(SHIM, f"{up}javascripts/iframe-worker.js"))
    return code


if __name__ == "__main__":
    sys.exit(build(prepare(WORK)))
