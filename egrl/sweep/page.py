"""A sweep as one HTML file that needs nothing else: the plot, and a table with the same numbers.

The plotting library is the one that the report page embeds (`accelerator_sim/html/vendor`).
"""

import base64
import hashlib
import html
import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from string import Template

from accelerator_sim.units import percent_text, plain, seconds_text
from egrl.sweep.result import PointResult, Sweep

LIBRARY = "vendor/echarts.min.js"

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
_LINES = (
    ("latency", "latency_s"),
    ("proven bound", "lower_bound_s"),
    ("best reference", "best_reference_s"),
    ("native", "native_s"),
    ("ideal memory", "ideal_s"),
)


def sweep_html(sweep: Sweep) -> str:
    """The page; the same sweep gives the same text.

    With two axes the plot has a line for each value of the second.
    """
    library, program = _file("accelerator_sim.html", LIBRARY), _file("egrl.sweep", "web/plot.js")
    names = " and ".join(plain(axis.name, 40) for axis in sweep.axes)
    title = f"{plain(sweep.model, 60)} on {plain(sweep.target, 40)}: latency over {names}"
    finished = len(sweep.points)
    subtitle = (
        f"{sweep.execution_type}, placed by {sweep.placer}, {sweep.budget} a point, "
        f"seed {sweep.seed}; {finished} of {sweep.point_count} points"
    )
    return Template(_file("egrl.sweep", "web/page.html")).substitute(
        policy=_policy(library, program),
        title=html.escape(title),
        subtitle=html.escape(plain(subtitle)),
        table="\n".join(_table(sweep)),
        data=_embedded(plot_data(sweep)),
        library=library,
        program=program,
    )


def plot_data(sweep: Sweep) -> dict[str, object]:
    """What the plot shows: names, labels, and values in one unit; null where there is none."""
    scale, unit = _unit(sweep)
    first = sweep.axes[0]
    by_place = {point.at: point.result for point in sweep.points}
    series: list[dict[str, object]] = []
    if len(sweep.axes) == 1:
        for name, field in _LINES:
            values = [_scaled(by_place.get((i,)), field, scale) for i in range(len(first.values))]
            if any(value is not None for value in values):
                series.append({"name": name, "main": field == "latency_s", "values": values})
    else:
        second = sweep.axes[1]
        for j, label in enumerate(second.labels):
            values = [
                _scaled(by_place.get((i, j)), "latency_s", scale) for i in range(len(first.values))
            ]
            name = f"{second.name} = {label}"
            series.append({"name": name, "main": True, "values": values})
    x = {"name": first.name, "labels": list(first.labels)}
    return {"x": x, "unit": unit, "series": series}


def _unit(sweep: Sweep) -> tuple[float, str]:
    found = [point.result.latency_s for point in sweep.points if point.result.latency_s]
    largest_s = max(found, default=1.0)
    return next((pair for pair in _UNITS if largest_s >= pair[0]), _UNITS[-1])


def _scaled(result: PointResult | None, field: str, scale: float) -> float | None:
    seconds = None if result is None else getattr(result, field)
    return None if seconds is None else seconds / scale


def _table(sweep: Sweep) -> Iterator[str]:
    names = [axis.name for axis in sweep.axes]
    head = "".join(f'<th class="name">{html.escape(plain(name))}</th>' for name in names)
    numbers = ("latency", "proven gap", "bound", "best reference", "native", "ideal")
    yield f"<table><thead><tr>{head}{''.join(f'<th>{name}</th>' for name in numbers)}</tr></thead>"
    yield "<tbody>"
    for point in sweep.points:
        labels = "".join(
            f'<td class="name">{html.escape(plain(label))}</td>' for label in sweep.labels(point)
        )
        yield f"<tr>{labels}{_cells(point.result, len(numbers))}</tr>"
    yield "</tbody></table>"


def _cells(result: PointResult, count: int) -> str:
    if result.latency_s is None:
        return f'<td class="failure" colspan="{count}">{html.escape(plain(result.failure))}</td>'
    cells = (
        _seconds(result.latency_s),
        "-" if result.gap is None else percent_text(result.gap),
        _seconds(result.lower_bound_s),
        _seconds(result.best_reference_s),
        _seconds(result.native_s),
        _seconds(result.ideal_s),
    )
    return "".join(f"<td>{cell}</td>" for cell in cells)


def _seconds(value: float | None) -> str:
    return "-" if value is None else seconds_text(value)


def _embedded(data: object) -> str:
    """JSON that no HTML parser can leave."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(*scripts: str) -> str:
    """Nothing is loaded, and nothing runs but these scripts."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _file(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text("utf-8")
