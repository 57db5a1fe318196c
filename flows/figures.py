"""Pictures as files and as bytes, and success rates drawn with their intervals."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

PIXELS_PER_INCH = 120
COLOURS = 64


def write_figure(figure: Figure, file: Path) -> None:
    """Write a figure; the ending of `file` decides the format, SVG without one. Equal figures give equal files. Raises
    StorageFault."""
    write_atomic(file, _drawn(figure, file.suffix.lstrip(".") or "svg"))


def small_png(figure: Figure) -> bytes:
    """A figure as a PNG of at most 64 colours: a third of the bytes, and no difference to the eye in charts."""
    from PIL import Image

    canvas = _pixels(figure)
    picture = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")
    data = io.BytesIO()
    picture.quantize(COLOURS).save(data, format="png", optimize=True)
    return data.getvalue()


def rate_axes(axes: Any, title: str) -> None:
    """A panel for success rates, one policy a row."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("success rate")
    axes.grid(axis="x", alpha=0.3)


def rate_with_interval(axes: Any, place: float, rate: float, low: float, high: float, colour: str) -> None:
    """A success rate as a point at the height `place`, with its interval."""
    reach = [[rate - low], [high - rate]]
    axes.errorbar([rate], [place], xerr=reach, fmt="o", color=colour, markersize=6, capsize=3)


def _drawn(figure: Figure, ending: str) -> bytes:
    from matplotlib import rc_context
    from matplotlib.image import imsave

    data = io.BytesIO()
    if ending == "png":
        imsave(data, _pixels(figure).buffer_rgba(), format="png", dpi=PIXELS_PER_INCH)
        return data.getvalue()
    with rc_context({"svg.hashsalt": "steca", "svg.fonttype": "none"}):
        figure.savefig(
            data, format=ending, dpi=PIXELS_PER_INCH, metadata={"Date": None} if ending == "svg" else None
        )
    return data.getvalue()


def _pixels(figure: Figure) -> FigureCanvasAgg:
    """The canvas on which a figure is drawn, once. `savefig` draws everything twice, the first time for the layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(PIXELS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas
