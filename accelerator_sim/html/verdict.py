"""One sentence that says what to make of a plan."""

from accelerator_sim.build_report import IDEAL, MATTERS_ABOVE
from accelerator_sim.cache_text import shared_homes_text
from accelerator_sim.report import Report
from accelerator_sim.units import percent_text

CLOSE = 0.01
"""A proven gap below this is called next to nothing."""


def verdict(report: Report) -> str:
    """The sentence, and one more where homes are shared."""
    if report.alone_s is None:
        return _sentence(report)
    shared = shared_homes_text(report.latency_s, report.alone_s)
    return f"{_sentence(report)} Shared homes: {shared}."


def _sentence(report: Report) -> str:
    if not report.placement_matters:
        return (
            f"Placement hardly matters here: {report.best_reference} needs no search and is within "
            f"{100 * MATTERS_ABOVE:.0f} % of {_floor(report)}."
        )
    return f"{_speed(report)}{_room(report)}."


def _floor(report: Report) -> str:
    return "the ideal memory" if report.lower_bound_s is None else "the proven bound"


def _speed(report: Report) -> str:
    ratio = report.speedup_over_best_reference
    if ratio is None:
        return "No reference placement is feasible"
    percent = abs(1 - 1 / ratio) if ratio > 0 else 0.0
    if percent < CLOSE / 10:
        return f"As fast as {report.best_reference}, the best reference"
    faster = "less" if ratio > 1 else "more"
    return f"{percent_text(percent)} {faster} time than {report.best_reference}, the best reference"


def _room(report: Report) -> str:
    if report.gap is None:
        ideal_s = report.references.get(IDEAL)
        if ideal_s is None or report.latency_s <= 0:
            return "; no bound was proven"
        less = percent_text(max(0.0, 1 - ideal_s / report.latency_s))
        return f"; no bound was proven, and an unlimited innermost memory would take {less} less"
    if report.gap < CLOSE / 10:
        return "; proven to be the best possible to within 0.1 %"
    if report.gap < CLOSE:
        return f"; no plan can be more than {percent_text(report.gap)} better"
    return f"; at most {percent_text(report.gap)} above the best possible"
