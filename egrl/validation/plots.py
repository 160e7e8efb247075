"""Scatter plots as SVG: reference against predicted on logarithmic axes, always the same bytes."""

import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from egrl.validation.result import Series

INCHES = 4.2
RASTER_ABOVE = 1500
"""More points are drawn as one picture inside the file, which keeps it small."""


def plot_name(tool: str, series: Series) -> str:
    """File name of a plot: the tool's key and the title, in lower case with dashes."""
    return f"{_slug(tool)}-{_slug(series.title)}.svg"


def plot_pattern(tool: str) -> str:
    """What matches the file names of all plots of a tool."""
    return f"{_slug(tool)}-*.svg"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def write_plot(series: Series, path: Path) -> None:
    """Write the scatter plot of a series that has points above 0."""
    points = [
        (p.reference, p.predicted) for p in series.points if min(p.reference, p.predicted) > 0
    ]
    low = min(min(point) for point in points) / 1.5
    high = max(max(point) for point in points) * 1.5
    settings = mpl.rc_context(
        {
            "svg.hashsalt": "egrl",
            "svg.fonttype": "none",
            "font.size": 9.0,
            "axes.grid": True,
            "grid.alpha": 0.3,
        }
    )
    with settings:
        figure = Figure(figsize=(INCHES, INCHES), layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        axes.plot([low, high], [low, high], color="0.55", linewidth=0.8, zorder=1)
        axes.scatter(
            [reference for reference, _ in points],
            [predicted for _, predicted in points],
            s=12,
            linewidths=0,
            alpha=0.55,
            color="#1f5fa8",
            zorder=2,
            rasterized=len(points) > RASTER_ABOVE,
        )
        axes.set(
            xscale="log",
            yscale="log",
            xlim=(low, high),
            ylim=(low, high),
            xlabel=f"reference, {series.unit}",
            ylabel=f"predicted, {series.unit}",
            title=series.title,
            aspect="equal",
        )
        figure.savefig(path, format="svg", dpi=110, metadata={"Date": None, "Creator": None})
