"""Pictures as files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from storage.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PIXELS_PER_INCH = 120


def write_figure(figure: Figure, file: Path) -> None:
    """Write a figure; the ending of `file` decides the format, SVG without one. Equal figures give equal files. Raises
    StorageFault."""
    from matplotlib import rc_context

    ending = file.suffix.lstrip(".") or "svg"
    data = io.BytesIO()
    with rc_context({"svg.hashsalt": "steca", "svg.fonttype": "none"}):
        figure.savefig(
            data, format=ending, dpi=PIXELS_PER_INCH, metadata={"Date": None} if ending == "svg" else None
        )
    write_atomic(file, data.getvalue())
