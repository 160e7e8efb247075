"""Write a placement problem in the neutral format of `egrl audit`.

The neutral format knows tiers, not modes, and no prefetching: a tensor in a per-core tier is
replicated there unless it may only be partitioned, and an op is given the time that it takes with
all of its streams late, for every combination of its tensors' tiers. Ops with too many operands
for that are given as streams.
"""

from itertools import product
from pathlib import Path

import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.audit.parts import problem_from_parts
from egrl.audit.problem import (
    Combination,
    Measured,
    ProblemOp,
    ProblemTensor,
    ProblemTier,
    Stream,
    encode_problem,
)
from egrl.placers.op_hull import op_table
from graph_ir.errors import InputError


def write_problem(problem: PlacementProblem, path: Path) -> None:
    """Write the problem as JSON.

    Raises:
        InputError: the file cannot be written.
    """
    tiers = [
        ProblemTier(
            name=tier.name,
            read_bytes_per_s=tier.read_bytes_per_s.value,
            write_bytes_per_s=tier.write_bytes_per_s.value,
            capacity_bytes=int(tier.capacity_bytes.value),
            latency_s=tier.latency_s.value,
        )
        for tier in problem.accelerator.tiers
    ]
    neutral = problem_from_parts(
        tiers,
        _tensors(problem),
        [_op(problem, index) for index in range(problem.op_count)],
        name=problem.workload.name,
    )
    try:
        path.write_bytes(encode_problem(neutral))
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def _whole_homes(problem: PlacementProblem, tensor: int) -> list[int]:
    """Allowed homes that keep a tensor whole; all of them where none does."""
    allowed = [int(home) for home in np.flatnonzero(problem.allowed_TH[tensor])]
    return [home for home in allowed if problem.homes[home].mode != "partitioned"] or allowed


def _tier_name(problem: PlacementProblem, home: int) -> str:
    return problem.accelerator.tiers[problem.homes[home].tier].name


def _tensors(problem: PlacementProblem) -> list[ProblemTensor]:
    result = []
    for t, tensor in enumerate(problem.workload.tensors):
        if tensor.alias_of is not None:
            continue
        homes = _whole_homes(problem, t)
        result.append(
            ProblemTensor(
                name=tensor.name,
                kind=tensor.kind.value,
                size_bytes=int(problem.arrays.size_bytes_TH[t, homes[0]]),
                start=tensor.start,
                end=tensor.end,
                alignment_bytes=problem.accelerator.tiers[0].alignment_bytes,
                tiers=[_tier_name(problem, home) for home in homes],
            )
        )
    return result


def _op(problem: PlacementProblem, index: int) -> ProblemOp:
    op = problem.workload.ops[index]
    names = [tensor.name for tensor in problem.workload.tensors]
    table = op_table(problem, index)
    reads = [Stream(names[o.tensor], o.traffic_bytes) for o in op.operands if not o.is_write]
    writes = [Stream(names[o.tensor], o.traffic_bytes) for o in op.operands if o.is_write]
    variants = problem.variants_N[index]
    measured = None
    if table.complete:
        axes = [
            [(homes.tolist().index(home), home) for home in _whole_homes(problem, tensor)]
            for tensor, homes in zip(table.tensors, table.homes, strict=True)
        ]
        pinned = {
            names[o.tensor]: _tier_name(problem, int(problem.allowed_TH[o.tensor].argmax()))
            for o in op.operands
            if o.tensor not in table.tensors
        }
        measured = Measured(
            combinations=[
                Combination(
                    homes=pinned | {
                        names[tensor]: _tier_name(problem, home)
                        for tensor, (_, home) in zip(table.tensors, chosen, strict=True)
                    },
                    seconds=float(table.late[tuple(place for place, _ in chosen)]),
                )
                for chosen in product(*axes)
            ]
        )  # fmt: skip
    return ProblemOp(
        name=op.name,
        compute_s=min(variant.compute_s for variant in variants),
        fixed_s=variants[0].fill_s,
        reads=reads,
        writes=writes,
        measured=measured,
    )
