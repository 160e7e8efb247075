"""The learning curve of a run as a picture."""

from collections.abc import Mapping, Sequence
from io import BytesIO

from egrl.training.metrics import Metrics

WIDTH_INCHES, HEIGHT_INCHES, DPI = 8.0, 4.5, 120


def curve_png(
    metrics: Sequence[Metrics],
    curve: Sequence[tuple[int, float]],
    references: Mapping[str, float],
    title: str,
) -> bytes:
    """Best latency over evaluations, the references as lines; below, which maps were valid.

    Args:
        metrics: of every generation.
        curve: (evaluations, latency in seconds) whenever the best improved.
        references: latencies in seconds by name.
        title: of the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DPI)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    figure.subplots_adjust(left=0.11, right=0.98, top=0.93, bottom=0.11, hspace=0.08)
    end = max([row.evaluations for row in metrics] + [evaluations for evaluations, _ in curve])
    steps = [*curve, (end, curve[-1][1])] if curve else []
    above.step([x for x, _ in steps], [1e3 * s for _, s in steps], where="post", label="best")
    for n, (name, seconds) in enumerate(references.items()):
        above.axhline(1e3 * seconds, color=f"C{n % 9 + 1}", linestyle="--", linewidth=1, label=name)
    # Plans that leave everything outside would press all others against the axis.
    above.set_yscale("log")
    above.set_ylabel("latency / ms")
    above.set_title(title, fontsize=10)
    above.legend(fontsize=7, loc="upper right")
    above.grid(alpha=0.3, which="both")
    valid = [(row.evaluations, row.valid_share) for row in metrics if row.valid_share is not None]
    below.plot([x for x, _ in valid], [share for _, share in valid], linewidth=1, color="C7")
    below.set_ylim(0, 1)
    below.set_ylabel("valid maps")
    below.set_xlabel("evaluations")
    below.grid(alpha=0.3)
    file = BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
