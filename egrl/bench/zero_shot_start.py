"""What starting from the policy saves `auto`: the time until it is within 1 % of the best known."""

import time
from pathlib import Path

import msgspec
import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.agents.egrl.checkpoint import SHIPPED
from egrl.placers.auto import Auto
from egrl.placers.base import Budget

GAP = 0.01
SECONDS = 5.0
SEEDS = (0, 1, 2)


class Start(msgspec.Struct, frozen=True):
    """Median wall time until an incumbent is within `GAP`; None where most runs never were.

    Attributes:
        with_s: `auto` as it is.
        without_s: `auto` with the rule that the policy corrects, and nothing trained.
    """

    with_s: float | None
    without_s: float | None


class _CloseEnough(KeyboardInterrupt):
    """Ends a run the way that a person would."""


def measure_start(problem: PlacementProblem, best_s: float) -> Start:
    """Both variants in turn, seed by seed, after a short run that loads everything.

    Args:
        problem: to place.
        best_s: best known latency.
    """
    _seconds_to(problem, SHIPPED, np.inf, 0)
    times: dict[bool, list[float]] = {True: [], False: []}
    for seed in SEEDS:
        for with_policy in (True, False):
            policy = SHIPPED if with_policy else None
            times[with_policy].append(_seconds_to(problem, policy, best_s * (1 + GAP), seed))
    return Start(_median(times[True]), _median(times[False]))


def _seconds_to(
    problem: PlacementProblem, policy: Path | None, wanted_s: float, seed: int
) -> float:
    """Seconds from the call to an incumbent of at most a latency; infinity where none was."""
    began = time.monotonic()
    reached = np.inf

    def note(_message: str, latency_s: float) -> None:
        nonlocal reached
        if latency_s <= wanted_s and reached == np.inf:
            reached = time.monotonic() - began
            raise _CloseEnough

    rng = np.random.default_rng(seed)
    try:
        found = Auto(policy=policy).place(problem, Budget(seconds=SECONDS), rng, note)
    except _CloseEnough:
        return reached
    if reached == np.inf and found.latency_s <= wanted_s:
        reached = time.monotonic() - began
    return reached


def _median(times: list[float]) -> float | None:
    median = float(np.median(times))
    return None if median == np.inf else round(median, 4)


def start_lines(starts: dict[str, Start]) -> list[str]:
    """The section of the document."""
    if not starts:
        return []
    saved = [s for s in starts.values() if s.with_s is not None and s.without_s is not None]
    ratio = [s.without_s / s.with_s for s in saved if s.with_s and s.without_s]
    lines = [
        "## What it saves `auto`",
        "",
        f"Wall time from the call until `auto` holds a placement within {100 * GAP:g} % of the "
        f"best known, with the trained policy and without it (the rule alone); median of seeds "
        f"{', '.join(map(str, SEEDS))}, runs of {SECONDS:g} s; a dash where it took longer.",
        "",
        f"Faster with the policy in {sum(r > 1 for r in ratio)} of {len(ratio)} rows, "
        f"{float(np.median(ratio)):.2f} times in the median and {max(ratio):.1f} times at best; "
        f"{float(np.median([s.with_s for s in saved if s.with_s])):.3f} s against "
        f"{float(np.median([s.without_s for s in saved if s.without_s])):.3f} s. Reached in "
        f"{sum(s.with_s is not None for s in starts.values())} rows with it, in "
        f"{sum(s.without_s is not None for s in starts.values())} without, of {len(starts)}."
        if ratio
        else "Never reached.",
        "",
        "| problem | with, s | without, s |",
        "|---|---|---|",
    ]
    lines += [
        f"| {name} | {_text(start.with_s)} | {_text(start.without_s)} |"
        for name, start in sorted(starts.items())
    ]
    return [*lines, ""]


def _text(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3f}"
