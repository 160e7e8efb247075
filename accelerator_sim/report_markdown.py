"""The report as Markdown for a pull request: GitHub's dialect, tables and folded details.

Names come from models, so that everything that Markdown or HTML could read as markup is written as
a character reference; the text then shows as it is, wherever it stands.
"""

import re
from collections.abc import Iterator, Sequence

from accelerator_sim.build_report import IDEAL, STATED_REFERENCES
from accelerator_sim.cache_text import (
    cache_summary,
    context_cells,
    shared_homes_text,
    tier_cells,
)
from accelerator_sim.comparison import compare, letters, power_w, title
from accelerator_sim.report import CacheReport, Report
from accelerator_sim.report_case import Advice, ReportCase
from accelerator_sim.time_shares import time_shares
from accelerator_sim.units import (
    bytes_text,
    joules_text,
    percent_text,
    plain,
    ratio_text,
    seconds_text,
    watts_text,
)

SLOWEST_OPS = 10
_SMALLEST_SHARE = 0.0005
_SAFE = re.compile(r"[A-Za-z0-9 .,;()/%=+?-]|(?<=[A-Za-z0-9])_(?=[A-Za-z0-9])|:(?= )")


def report_markdown(cases: Sequence[ReportCase]) -> str:
    """All cases, a newline at the end; with several of them their comparison comes first."""
    lines: list[str] = []
    if len(cases) == 1:
        lines += [f"### {_heading(cases[0])}", "", *_case(cases[0])]
    else:
        lines += ["### Placements side by side", "", *_comparison(cases)]
        for position, case in enumerate(cases):
            summary = f"<b>{letters(position)}</b> {_heading(case)}"
            lines += ["", "<details>", f"<summary>{summary}</summary>", "", *_case(case)]
            lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def escaped(name: str, width: int | None = None) -> str:
    """A name as text that no Markdown renderer takes for anything else."""
    text = plain(name, width)
    return "".join(
        c if _SAFE.match(text, position) else f"&#{ord(c)};" for position, c in enumerate(text)
    )


def _heading(case: ReportCase) -> str:
    return escaped(title(case.report, case.name))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> Iterator[str]:
    """A table whose first `left` columns are text and the others numbers; cells are markup."""
    yield f"| {' | '.join(header)} |"
    marks = ["---" if column < left else "---:" for column in range(len(header))]
    yield f"| {' | '.join(marks)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _comparison(cases: Sequence[ReportCase]) -> Iterator[str]:
    for position, case in enumerate(cases):
        yield f"- **{letters(position)}** {_heading(case)}"
    yield ""
    columns = [letters(position) for position in range(len(cases))]
    rows = compare([case.report for case in cases])
    yield from _table(
        ["", *columns], [[escaped(row.label), *map(escaped, row.cells)] for row in rows]
    )


def _case(case: ReportCase) -> Iterator[str]:
    report = case.report
    if case.note:
        yield from (f"> {escaped(case.note)}", "")
    yield from _headline(report)
    if not report.placement_matters:
        yield from (
            "",
            "Placement does not matter here: the best reference is within 2 % of the bound.",
        )
    if report.alone_s is not None:
        shared = shared_homes_text(report.latency_s, report.alone_s)
        yield from ("", f"Shared homes: {escaped(shared)}.")
    if case.advice:
        yield from ("", *_advice(case.advice))
    if report.caches is not None:
        yield from ("", *_caches(report.caches))
    for summary, lines in (
        ("Where the time goes", _time(report)),
        (f"Slowest of {len(report.ops)} ops", _slowest(report)),
        ("What each memory holds", _tiers(report)),
        ("Other placements", _references(report)),
    ):
        yield from ("", "<details>", f"<summary>{summary}</summary>", "", *lines, "", "</details>")
    approximate = case.problem.accelerator.approximate
    if approximate:
        yield ""
        yield f"The model of {escaped(report.target)} is approximate:"
        yield ""
        yield from (f"- {escaped(entry)}" for entry in approximate)


def _headline(report: Report) -> Iterator[str]:
    power = power_w(report)
    cells = {
        "latency": f"**{escaped(seconds_text(report.latency_s))}**",
        "proven gap": "not proven" if report.gap is None else percent_text(report.gap),
        "over best reference": _ratio(report.speedup_over_best_reference, report.best_reference),
        "over native": _ratio(report.speedup_over_native, ""),
        "first inference": escaped(seconds_text(report.cold_latency_s)),
        "energy": escaped(joules_text(report.energy_j)),
        "power": "" if power is None else escaped(watts_text(power)),
    }
    yield from _table(list(cells), [list(cells.values())], 0)


def _ratio(ratio: float | None, over: str) -> str:
    if ratio is None:
        return "none feasible"
    return ratio_text(ratio) + (f" ({escaped(over)})" if over else "")


def _advice(advice: Sequence[Advice]) -> Iterator[str]:
    yield from _table(
        ["what would help (placed and simulated again)", "latency", "change"],
        [
            [
                escaped(entry.text),
                escaped(seconds_text(entry.latency_s)),
                escaped(f"{100 * entry.change:+.1f} %"),
            ]
            for entry in advice
        ],
    )


def _time(report: Report) -> Iterator[str]:
    total = sum(op.duration_s for op in report.ops)
    rows = []
    for share in time_shares(report.ops, [tier.name for tier in report.tiers]):
        part = share.seconds / total if total > 0 else 0.0
        if part >= _SMALLEST_SHARE:
            time = escaped(seconds_text(share.seconds))
            rows.append([escaped(share.name), time, percent_text(part)])
    yield from _table(["limit", "time", "share"], rows)


def _slowest(report: Report) -> Iterator[str]:
    total = sum(op.duration_s for op in report.ops)
    rows = []
    for op in sorted(report.ops, key=lambda op: (-op.duration_s, op.index))[:SLOWEST_OPS]:
        part = op.duration_s / total if total > 0 else 0.0
        waits = escaped(op.stall_tensor, 48) if op.stall_s > 0 and op.stall_tensor else ""
        time = escaped(seconds_text(op.duration_s))
        rows.append(
            [escaped(op.name, 48), escaped(op.bound), waits, time, percent_text(part)]
        )  # fmt: skip
    yield from _table(["op", "limited by", "waits for", "time", "share"], rows, 3)


def _tiers(report: Report) -> Iterator[str]:
    rows = [
        [
            escaped(tier.name),
            bytes_text(tier.capacity_bytes),
            bytes_text(tier.peak_bytes),
            percent_text(tier.peak_bytes / tier.capacity_bytes),
            bytes_text(tier.resident_weight_bytes),
            bytes_text(tier.peak_activation_bytes),
            percent_text(tier.busy_fraction),
        ]
        for tier in report.tiers
    ]
    header = ["memory", "capacity", "peak", "full", "weights", "activations at most", "busy"]
    yield from _table(header, rows)


def _caches(caches: CacheReport) -> Iterator[str]:
    yield f"Caches: {escaped(cache_summary(caches))}."
    yield ""
    header = ["positions held", "a token", "tokens a second", "read of the caches"]
    yield from _table(header, [[escaped(c) for c in row] for row in context_cells(caches)])
    yield ""
    header = ["memory", "holds", "overflows by all of them beyond", "by full caches beyond"]
    yield from _table(header, [[escaped(c) for c in row] for row in tier_cells(caches)])


def _references(report: Report) -> Iterator[str]:
    order = [name for name in (*STATED_REFERENCES, IDEAL) if name in report.references]
    order += sorted(name for name in report.references if name not in order)
    rows = []
    for name in order:
        latency_s = report.references[name]
        ratio = latency_s / report.latency_s if report.latency_s > 0 else 1.0
        label = escaped(name) + (" (a floor, not a plan)" if name == IDEAL else "")
        rows.append([label, escaped(seconds_text(latency_s)), ratio_text(ratio)])
    yield from _table(["placement", "latency", "of this plan's"], rows)
