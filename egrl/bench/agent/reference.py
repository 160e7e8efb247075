"""What a problem is measured against: `native`, a proven bound, the best of a minute of `auto`."""

import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.bench.agent.rows import Reference
from egrl.placers import PLACERS
from egrl.placers.auto import Auto
from egrl.placers.base import Budget
from egrl.placers.op_hull import floor_seconds
from graph_ir.errors import UnmetRequirementError

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def measure_reference(
    name: str, problem: PlacementProblem, seconds: float, exact_too: bool = False
) -> Reference:
    """One row.

    Args:
        name: of the problem.
        problem: the problem.
        seconds: of `auto`, and of `exact`.
        exact_too: whether the exact solver's own placement is wanted.
    """
    rng = np.random.default_rng(0)
    native_s = PLACERS["native"]().place(problem, Budget(), rng).latency_s
    # Compiled code is loaded, or compiled, before the clock starts.
    Auto().place(problem, Budget(seconds=min(1.0, seconds)), np.random.default_rng(1))
    found = Auto().place(problem, Budget(seconds=seconds), rng)
    bounds = [floor_seconds(problem), found.lower_bound_s or 0.0]
    best_s, exact_s, exact_bound_s, plan = found.latency_s, 0.0, 0.0, ""
    if exact_too:
        try:
            exact = PLACERS["exact"]().place(problem, Budget(seconds=seconds), rng)
        except UnmetRequirementError as error:
            print(f"{name}: {error}", flush=True)  # Its program would be too large.
        else:
            exact_bound_s = exact.lower_bound_s or 0.0
            bounds.append(exact_bound_s)
            best_s, exact_s = min(best_s, exact.latency_s), exact.latency_s
            plan = plan_text(exact.homes_T)
    return Reference(
        case=name,
        ops=problem.op_count,
        tensors=len(problem.free_tensors),
        tiers=[tier.name for tier in problem.accelerator.tiers],
        native_s=native_s,
        bound_s=max(bounds),
        best_s=best_s,
        seconds=seconds,
        exact_s=exact_s,
        exact_bound_s=exact_bound_s,
        plan=plan,
        auto_plan=plan_text(found.homes_T) if exact_too else "",
    )


def plan_text(homes_T: np.ndarray[tuple[int], np.dtype[np.int8]]) -> str:
    """A digit per tensor."""
    return "".join(DIGITS[home] for home in homes_T.tolist())


def plan_homes(text: str) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """Back from `plan_text`."""
    return np.array([DIGITS.index(digit) for digit in text], np.int8)
