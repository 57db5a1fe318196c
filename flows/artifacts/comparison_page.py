"""The page of a comparison: what `steca compare` prints."""

from __future__ import annotations

from pathlib import Path

from flows.artifacts.markdown import code, inline, joined, picture, table
from flows.artifacts.page import Page, page_key
from flows.artifacts.publish import publish
from flows.compare.picture import figure_of
from flows.compare.results import Results
from flows.compare.tables import in_words, tables
from flows.figures import small_png


def publish_comparison(results: Results, store: Path) -> None:
    """Publish the page of a comparison in the current flow run. Does nothing outside of one, and never fails: a log
    line says why there is no page."""
    publish(lambda: comparison_page(results, store), f"comparison {results.header.name}")


def comparison_page(results: Results, store: Path) -> Page:
    """Picture, tables, and where the rows are. `store`: the published file."""
    name, reference = results.header.name, results.header.reference
    drawn = picture(small_png(figure_of(results)), "Success of each arm") if results.episodes else ""
    asked = f"SELECT * FROM comparison_success WHERE comparison = {_quoted(name)}"
    return Page(
        page_key("comparison", name, "results"),
        f"comparison {name}: {', '.join(results.header.arms)}, {in_words(results.seeds)}",
        joined(
            f"# Comparison {inline(name)}",
            f"Differences are success of an arm minus success of {inline(reference)} on the same tasks.",
            drawn,
            *map(table, tables(results)),
            f"Store: {code(str(store))}; for example {code(asked)}.",
        ),
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
