"""The picture of the document: a token by positions held, and where caches leave the chip."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from egrl.bench.kv.rows import Row

NAME = "simulated.svg"


def draw(rows: Sequence[Row], context: int, chip_bytes: int, folder: Path) -> None:
    """Draw as SVG that is always the same bytes.

    Args:
        rows: simulated at `context`, with `positions` and `latency_s`; none draws nothing.
        context: positions that the caches of all rows are for.
        chip_bytes: what the memories on the chip hold.
        folder: made where there is none.
    """
    if not rows:
        return
    looks = mpl.rc_context(
        {
            "svg.hashsalt": "egrl",
            "svg.fonttype": "none",
            "font.size": 8.0,
            "axes.grid": True,
            "grid.alpha": 0.3,
        }
    )
    with looks:
        figure = Figure(figsize=(6.5, 3.5), layout="constrained")
        axes = figure.add_subplot()
        for row in rows:
            cache_bytes = row.metrics["cache_bytes"]
            fits = "fit" if cache_bytes <= chip_bytes else "do not fit"
            label = f"{row.method}: {cache_bytes / 2**20:.0f} MiB of caches, {fits} on the chip"
            milliseconds = [1e3 * seconds for seconds in row.samples["latency_s"]]
            line = "-" if cache_bytes <= chip_bytes else "--"
            axes.plot(row.samples["positions"], milliseconds, line, marker=".", label=label)
        axes.set_xlabel(f"positions held, of {context:,}")
        axes.set_ylabel("ms a token")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7)
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / NAME, format="svg", metadata={"Date": None, "Creator": None})
