"""Random placement problems in which placement matters: a workload on an accelerator."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.engine import evaluate_batch
from accelerator_sim.problem import PlacementProblem, build_problem
from egrl.generator.accelerators import GROUPS, execution_types, generate_accelerator
from egrl.generator.contest import contested, roomy
from egrl.generator.draws import chance, log_uniform, pick
from egrl.generator.workloads.registry import FAMILIES, generate_workload
from egrl.placers.acts_first import acts_first_order
from egrl.placers.constructive import fewest_bytes_first, outermost_homes
from egrl.placers.decoder import build_decoder
from graph_ir.errors import UnmetRequirementError
from graph_ir.workload import Workload

MATTERS = 1.02
"""Latency over the ideal one from which a placement is worth improving."""

MOST_DRAWS = 32


@dataclass(frozen=True, slots=True)
class Drawn:
    """A problem and where it comes from.

    Attributes:
        problem: in which placement matters.
        family: of the workload.
        archetype: of the accelerator.
        is_rescaled: its memories were scaled to the workload's bytes.
        draws: how many problems were drawn until one was worth placing.
    """

    problem: PlacementProblem
    family: str
    archetype: str
    is_rescaled: bool
    draws: int


def generate_problem(
    rng: np.random.Generator,
    families: Sequence[str] = tuple(FAMILIES),
    archetypes: Sequence[str] = tuple(GROUPS),
    op_range: tuple[int, int] = (20, 500),
    least_gap: float = 0.0,
) -> PlacementProblem:
    """A random problem: see `draw_problem`."""
    return draw_problem(rng, families, archetypes, op_range, least_gap).problem


def draw_problem(
    rng: np.random.Generator,
    families: Sequence[str] = tuple(FAMILIES),
    archetypes: Sequence[str] = tuple(GROUPS),
    op_range: tuple[int, int] = (20, 500),
    least_gap: float = 0.0,
) -> Drawn:
    """A random problem in which placement matters; half of them with memories scaled to compete.

    Drawn again where nothing fits, and where neither the outermost tier nor one sort loses 2 % of
    the latency of unlimited memories.

    Args:
        rng: source of all randomness.
        families: keys of `FAMILIES`, equally likely.
        archetypes: keys of `GROUPS`, their families of accelerators being equally likely.
        op_range: fewest and most ops, log-uniform.
        least_gap: how far above unlimited memories one sort must end, as a share; 0 for any.

    Raises:
        UnmetRequirementError: `MOST_DRAWS` draws in a row were of no use.
    """
    for draw in range(1, MOST_DRAWS + 1):
        family = pick(rng, families)
        ops = round(log_uniform(rng, *op_range))
        groups = tuple(dict.fromkeys(GROUPS[name] for name in archetypes))
        group = pick(rng, groups)
        archetype = pick(rng, [name for name in archetypes if GROUPS[name] == group])
        accelerator = generate_accelerator(rng, archetype)
        types = execution_types(accelerator)
        workload = generate_workload(family, ops, pick(rng, (types[0], *types)), rng)
        is_rescaled = chance(rng, 0.5)
        if is_rescaled:
            accelerator = contested(accelerator, workload, rng)
        problem = _built(workload, roomy(accelerator, workload), least_gap)
        if problem is not None:
            return Drawn(problem, family, archetype, is_rescaled, draw)
    raise UnmetRequirementError(
        f"generator: {MOST_DRAWS} problems in a row in which placement cannot matter"
    )


def _built(
    workload: Workload, accelerator: Accelerator, least_gap: float
) -> PlacementProblem | None:
    """The problem, or None where it is of no use."""
    try:
        problem = build_problem(workload, accelerator)
        decoder = build_decoder(problem)
        sorted_T = decoder.decode(acts_first_order(problem, decoder), fewest_bytes_first(problem))
    except UnmetRequirementError:
        return None
    # The outermost homes need not fit at the same time: what matters is whether they are slower.
    homes_PT = np.stack(
        [decoder.values.ideal_T.astype(np.int8), sorted_T, outermost_homes(problem).astype(np.int8)]
    )
    ideal_s, sorted_s, outermost_s = evaluate_batch(problem, homes_PT).latency_s_P.tolist()
    useful = max(sorted_s, outermost_s) > MATTERS * ideal_s
    return problem if useful and sorted_s >= (1 + least_gap) * ideal_s else None
