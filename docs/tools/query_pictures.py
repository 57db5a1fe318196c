"""Pictures of answers in docs/queries.md: one function a picture, from the rows of its query. Their colours follow the
reader's light or dark scheme."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.figures import write_figure

Rows = Sequence[Mapping[str, Any]]
INK, PAPER, GRID, BLUE, ORANGE, GREY = "#1f2328", "#fefefe", "#d8dee4", "#3b7dc4", "#c77701", "#9aa5b2"
DARK = {
    INK: "#e6edf3",
    PAPER: "#0d1117",
    GRID: "#30363d",
    BLUE: "#5b9bdf",
    ORANGE: "#e0a03c",
    GREY: "#6e7681",
}
"""By colour in the light scheme, that in the dark one."""
SIZE = (7.2, 2.9)


def draw(picture: Callable[[Any, Rows], None], rows: Rows, file: Path) -> None:
    """Draw one picture as SVG. Raises StorageFault."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ink: Any = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    with rc_context({**dict.fromkeys(ink, INK), "font.size": 9, "grid.color": GRID, "axes.axisbelow": True}):
        figure = Figure(figsize=SIZE, layout="constrained", facecolor=PAPER)
        axes = figure.subplots()
        axes.set_facecolor(PAPER)
        axes.spines[["top", "right"]].set_visible(False)
        picture(axes, rows)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_figure(figure, file)
    file.write_text(themed(file.read_text()))


def themed(svg: str) -> str:
    """An SVG whose colours are those of the reader's scheme: each becomes a CSS variable."""
    for light in DARK:
        svg = svg.replace(light, f"var(--c{light[1:]})")
    light_scheme = ";".join(f"--c{light[1:]}:{light}" for light in DARK)
    dark_scheme = ";".join(f"--c{light[1:]}:{dark}" for light, dark in DARK.items())
    rules = f"svg{{{light_scheme}}}@media (prefers-color-scheme: dark){{svg{{{dark_scheme}}}}}"
    return svg.replace('<style type="text/css">', f'<style type="text/css">{rules}', 1)


def first_mistakes(axes: Any, rows: Rows) -> None:
    """Risk by step, with its intervals; steps that few games reach are left out."""
    _shares(axes, [row for row in rows if row["judged"] >= 5], "step_index", sideways=False)
    axes.set_xlabel("step of the policy's turn, and how many were judged")
    axes.set_ylabel("share that deviated")


def words(axes: Any, rows: Rows) -> None:
    """Share by word, the largest on top."""
    _shares(axes, rows, "word", sideways=True)
    axes.set_xlabel("share of judged turns that deviated (how many were judged)")


def _shares(axes: Any, rows: Rows, by: str, sideways: bool) -> None:
    places = range(len(rows))
    values = [row["share"] for row in rows]
    reach = [[row["share"] - row["low"] for row in rows], [row["high"] - row["share"] for row in rows]]
    names = [
        f"{row[by]}\n{row['judged']}" if not sideways else f"{row[by]} ({row['judged']})" for row in rows
    ]
    if sideways:
        axes.errorbar(values, places, xerr=reach, fmt="o", color=BLUE, capsize=3)
        axes.set_yticks(places, names)
        axes.invert_yaxis()
    else:
        axes.errorbar(places, values, yerr=reach, fmt="o", color=BLUE, capsize=3)
        axes.set_xticks(places, names)
    axes.grid(axis="x" if sideways else "y")


def task_types(axes: Any, rows: Rows) -> None:
    """Change of the success rate by kind of task."""
    _changes(axes, rows, [row["task_type"] for row in rows])
    axes.set_xlabel("trained minus warm-up policy, success rate on unseen games")


def starts(axes: Any, rows: Rows) -> None:
    """Change of the success rate by where the episodes start."""
    _changes(axes, rows, [f"{row['split']}, {row['start'].replace('_', ' ')}" for row in rows])
    axes.set_xlabel("trained minus warm-up policy, success rate")


def _changes(axes: Any, rows: Rows, names: Sequence[str]) -> None:
    """Changes with their intervals; the line is no change."""
    places = range(len(rows))
    reach = [[row["change"] - row["low"] for row in rows], [row["high"] - row["change"] for row in rows]]
    axes.errorbar([row["change"] for row in rows], places, xerr=reach, fmt="o", color=BLUE, capsize=3)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.grid(axis="x")


def costs(axes: Any, rows: Rows) -> None:
    """Seconds of each stage."""
    places = range(len(rows))
    axes.bar_label(axes.barh(places, [row["seconds"] for row in rows], color=BLUE), fmt="%.0f", padding=3)
    axes.set_yticks(places, [row["stage"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.grid(axis="x")


def arms(axes: Any, rows: Rows) -> None:
    """Games by who won them."""
    colours = {"both_won": GREY, "only_steca": BLUE, "only_sft": ORANGE, "neither": GRID}
    names = {"both_won": "both", "only_steca": "only STeCa", "only_sft": "only SFT"}
    _stacked(axes, rows, "task_type", colours, names)
    axes.set_xlabel("unseen games")


def ends(axes: Any, rows: Rows) -> None:
    """Rollouts by how they ended."""
    colours = {"won": BLUE, "refused": ORANGE, "out_of_steps": GREY}
    names = {"refused": "refused actions", "out_of_steps": "out of steps"}
    _stacked(axes, rows, "steps_left", colours, names)
    axes.set_ylabel("expert's turns left")
    axes.set_xlabel("share of rollouts")


def _stacked(axes: Any, rows: Rows, by: str, colours: Mapping[str, str], names: Mapping[str, str]) -> None:
    places = range(len(rows))
    left = [0.0] * len(rows)
    for column, colour in colours.items():
        widths = [row[column] or 0 for row in rows]
        axes.barh(places, widths, left=left, color=colour, label=names.get(column, column))
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_yticks(places, [str(row[by]) for row in rows])
    axes.invert_yaxis()
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=len(colours), frameon=False)


def luck(axes: Any, rows: Rows) -> None:
    """Deviations by the wins on the expert's side."""
    wins = sorted({row["expert_won"] for row in rows})
    _bars(axes, wins, [sum(row["deviations"] for row in rows if row["expert_won"] == won) for won in wins])
    axes.set_xlabel("rollouts of five that were won after the expert's turn")
    axes.set_ylabel("deviations")


def repeatable(axes: Any, rows: Rows) -> None:
    """Histories by how often they were won."""
    _bars(axes, [row["won"] for row in rows], [row["histories"] for row in rows])
    axes.set_xlabel("of five rollouts after the same history, won")
    axes.set_ylabel("histories")


def _bars(axes: Any, places: Sequence[int], heights: Sequence[int]) -> None:
    axes.bar_label(axes.bar(places, heights, color=BLUE, width=0.7))
    axes.margins(y=0.12)
    axes.set_xticks(places)
    axes.grid(axis="y")


def evidence(axes: Any, rows: Rows) -> None:
    """Examples by the rollouts behind their verdict, D_c and D_s beside each other; without rollouts at the left."""
    for offset, (dataset, colour, name) in enumerate(
        [("calibrated", BLUE, "repairs (D_c)"), ("expert_suffix", ORANGE, "expert suffixes (D_s)")]
    ):
        mine = [row for row in rows if row["dataset"] == dataset]
        places = [(row["rollouts"] or 0) + 0.4 * offset - 0.2 for row in mine]
        axes.bar(places, [row["examples"] for row in mine], width=0.4, color=colour, label=name)
    axes.set_xticks(range(11), ["none", *map(str, range(1, 11))])
    axes.set_xlabel("rollouts behind the verdict")
    axes.set_ylabel("examples")
    axes.legend(frameon=False)
    axes.grid(axis="y")


PICTURES: dict[str, Callable[[Any, Rows], None]] = {
    "first-mistakes": first_mistakes,
    "words": words,
    "task-types": task_types,
    "starts": starts,
    "arms": arms,
    "luck": luck,
    "repeatable": repeatable,
    "ends": ends,
    "evidence": evidence,
    "costs": costs,
}
"""By file in docs/images/queries/."""
