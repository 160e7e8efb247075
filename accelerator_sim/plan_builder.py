"""From a placement to a plan: addresses, lifetimes and the DMA schedule."""

from collections.abc import Sequence

from accelerator_sim.addresses import allocate_tiers
from accelerator_sim.dma_schedule import Offsets, load_copies, steady_copies
from accelerator_sim.plan import (
    IMAGE_TENSOR,
    PLAN_SCHEMA,
    STAGING_TENSOR,
    Plan,
    PlanOp,
    PlanTensor,
    PlanTier,
    Residence,
)
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.timeline import Timeline
from graph_ir.errors import UnmetRequirementError


def build_plan(problem: PlacementProblem, homes: Sequence[int], timeline: Timeline) -> Plan:
    """Give every tensor of a placement its address and every streamed weight its transfers.

    Args:
        problem: workload and accelerator.
        homes: a home index per tensor; must fit.
        timeline: the traced simulation of the same placement.

    Raises:
        UnmetRequirementError: the allocator found no addresses in some tier.
    """
    accelerator = problem.accelerator
    offsets, sizes = _allocate(problem, homes)
    tensors = [_plan_tensor(problem, homes, offsets, t) for t in range(problem.tensor_count)]
    last = max(1, problem.op_count)
    for tier, name in ((len(accelerator.tiers) - 1, STAGING_TENSOR), (0, IMAGE_TENSOR)):
        if (tier, name) in offsets:
            where = accelerator.tiers[tier]
            residence = Residence(
                where.name,
                "replicated" if where.scope == "per-core" else "shared",
                offsets[tier, name],
                0,
                last,
            )
            tensors.append(
                PlanTensor(
                    name, "scratch", sizes[tier, name], where.alignment_bytes, None, 0, [residence]
                )
            )
    return Plan(
        schema=PLAN_SCHEMA,
        tiers=[
            PlanTier(
                tier.name,
                int(tier.capacity_bytes.value),
                accelerator.core_count if tier.scope == "per-core" else 1,
            )
            for tier in accelerator.tiers
        ],
        ops=_plan_ops(problem, timeline),
        tensors=tensors,
        copies=[
            *load_copies(problem, homes, offsets),
            *steady_copies(problem, homes, offsets, timeline),
        ],
    )


def _allocate(problem: PlacementProblem, homes: Sequence[int]) -> tuple[Offsets, Offsets]:
    offsets: Offsets = {}
    sizes: Offsets = {}
    for tier in allocate_tiers(problem, homes):
        if not tier.allocation.feasible:
            where = problem.accelerator.tiers[tier.tier]
            raise UnmetRequirementError(
                f"allocation: {where.name} needs {tier.allocation.height_bytes} bytes with the "
                f"best packing found, and has {int(where.capacity_bytes.value)}"
            )
        for name, offset, size in zip(
            tier.names, tier.allocation.offsets, tier.sizes_bytes, strict=True
        ):
            offsets[tier.tier, name] = offset
            sizes[tier.tier, name] = size
    return offsets, sizes


def _plan_tensor(
    problem: PlacementProblem, homes: Sequence[int], offsets: Offsets, index: int
) -> PlanTensor:
    tensor = problem.workload.tensors[index]
    home = problem.homes[homes[index]]
    tier = problem.accelerator.tiers[home.tier]
    residences = []
    alias_of = None
    if tensor.alias_of is not None:
        alias_of = problem.workload.tensors[tensor.alias_of].name
    else:
        offset = offsets.get((home.tier, tensor.name), 0)
        residences = [Residence(tier.name, home.mode, offset, tensor.start, tensor.end)]
    return PlanTensor(
        name=tensor.name,
        kind=str(tensor.kind),
        size_bytes=tensor.size_bytes,
        alignment_bytes=tier.alignment_bytes,
        alias_of=alias_of,
        alias_offset=tensor.alias_offset_bytes,
        residences=residences,
        data_type=tensor.data_type,
        shape=list(tensor.shape),
    )


def _plan_ops(problem: PlacementProblem, timeline: Timeline) -> list[PlanOp]:
    names = [tensor.name for tensor in problem.workload.tensors]
    result = []
    for op, trace in zip(problem.workload.ops, timeline.ops, strict=True):
        reads = dict.fromkeys(names[o.tensor] for o in op.operands if not o.is_write)
        writes = dict.fromkeys(names[o.tensor] for o in op.operands if o.is_write)
        result.append(PlanOp(op.name, list(op.nodes), trace.split, list(reads), list(writes)))
    return result
