"""Assemble the page: template, style, scripts, the plotting library and the data, in one file."""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from string import Template

from accelerator_sim.html.case_data import case_data
from accelerator_sim.html.compare import comparison
from accelerator_sim.html.limits import MAX_CASES
from accelerator_sim.report_case import ReportCase
from accelerator_sim.report_text import report_text
from accelerator_sim.units import plain
from graph_ir.errors import InputError

LIBRARY = "vendor/echarts.min.js"

SCRIPTS = (
    "format.js", "dom.js", "theme.js", "chart.js", "bars.js", "table.js", "headline.js",
    "timeline.js",
    "memory.js", "caches.js", "waterfall.js", "ops.js", "roofline.js", "energy.js", "references.js",
    "advice.js", "target.js", "compare.js", "main.js",
)  # fmt: skip
"""In the order in which they run; each defines functions, the last one calls them."""


def report_html(cases: Sequence[ReportCase]) -> str:
    """One self-contained HTML file; the same cases give the same text.

    Args:
        cases: simulated plans, the first of them shown first.

    Raises:
        InputError: there are no cases, or more than a page can show.
    """
    if not 1 <= len(cases) <= MAX_CASES:
        raise InputError(f"HTML report: expected 1 to {MAX_CASES} cases, got {len(cases)}")
    data = {"cases": [case_data(case) for case in cases], "comparison": comparison(cases)}
    library = _file(LIBRARY)
    # One function around all scripts: nothing of the page is a global of the browser.
    program = '(function () {\n"use strict";\n' + "\n".join(map(_script, SCRIPTS)) + "\n})();\n"
    return Template(_file("template.html")).substitute(
        policy=_policy(library, program),
        title=html.escape(_title(cases)),
        style=_file("page.css"),
        text=html.escape("\n\n".join(report_text(case.report) for case in cases)),
        data=_embedded(data),
        library=library,
        program=program,
    )


def _title(cases: Sequence[ReportCase]) -> str:
    first = cases[0].report
    title = f"{plain(first.model, 60)} on {plain(first.target, 40)}"
    return title if len(cases) == 1 else f"{title} and {len(cases) - 1} more"


def _embedded(data: object) -> str:
    """JSON that no HTML parser can leave: ASCII, without the characters that begin markup."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(*scripts: str) -> str:
    """Nothing is loaded, and nothing runs but these scripts."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _script(name: str) -> str:
    return _file(f"js/{name}")


@cache
def _file(name: str) -> str:
    return resources.files("accelerator_sim.html").joinpath(name).read_text("utf-8")
