"""The notebook docs/explore.ipynb: executed on a store, and as a page of the site.

python -m docs.tools.notebook DATA_DIR        execute it, and keep its outputs
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "explore.ipynb"
STORE = "STECA_STORE"
"""Environment variable with the path of the store that the notebook opens."""
Cell = dict[str, Any]
_BARE = re.compile(r"<style scoped>.*?</style>\s*<table[^>]*>", re.S)
"""How a table of pandas begins. The site has its own style of tables."""


def executed(data_dir: Path) -> Any:
    """The notebook with the outputs of its cells on the store of a data folder, without what differs each time.

    Raises nbclient.exceptions.CellExecutionError where a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    os.environ[STORE] = str(data_dir / "trajectories.duckdb")
    try:
        NotebookClient(notebook, timeout=120, record_timing=False).execute(cwd=str(NOTEBOOK.parent))
    finally:
        del os.environ[STORE]
    notebook.metadata.pop("language_info", None)
    return notebook


def as_page(cells: list[Cell], images: Path, address: str) -> str:
    """The cells as Markdown. Pictures are written to `images`, which the page calls `address`."""
    parts = []
    for number, cell in enumerate(cells):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        parts += [_output(output, images, f"{address}/cell-{number}") for output in cell["outputs"]]
    return "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any], images: Path, address: str) -> str:
    """One output: a picture, a table or text, the first that there is."""
    import base64

    data = output.get("data", {})
    if picture := data.get("image/png"):
        images.mkdir(parents=True, exist_ok=True)
        (images / f"{Path(address).name}.png").write_bytes(base64.b64decode("".join(picture)))
        return f"![What the cell draws]({address}.png)"
    if table := data.get("text/html"):
        return _BARE.sub("<table>", "".join(table))
    text = "".join(data.get("text/plain") or output.get("text", ""))
    return f"```text\n{text.rstrip()}\n```"


if __name__ == "__main__":
    import nbformat

    nbformat.write(executed(Path(sys.argv[1])), NOTEBOOK)
