"""From a placement to a plan: addresses, lifetimes and the DMA schedule."""

from collections.abc import Sequence

from accelerator_sim.addresses import TierAllocation, allocate_tiers, tier_buffers
from accelerator_sim.allocate.lowest import lowest_found
from accelerator_sim.allocate.solve import DEFAULT_NODE_BUDGET
from accelerator_sim.dma_schedule import Offsets, load_copies, steady_copies
from accelerator_sim.infeasible import explain
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
from graph_ir.text import quoted

_TOP = 8


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
    tensors += [_written_state(problem, t) for t in _renamed_states(problem)]
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
            raise _no_addresses(problem, homes, tier)
        for name, offset, size in zip(
            tier.names, tier.allocation.offsets, tier.sizes_bytes, strict=True
        ):
            offsets[tier.tier, name] = offset
            sizes[tier.tier, name] = size
    return offsets, sizes


def _no_addresses(
    problem: PlacementProblem, homes: Sequence[int], tier: TierAllocation
) -> UnmetRequirementError:
    """Either more is live at once than there is, or it fits but no way to lay it out was found."""
    where = problem.accelerator.tiers[tier.tier]
    capacity_bytes = int(where.capacity_bytes.value)
    buffers = tier_buffers(problem, homes)[tier.tier]
    kinds = {tensor.name: str(tensor.kind) for tensor in problem.workload.tensors}
    kinds |= {STAGING_TENSOR: "scratch", IMAGE_TENSOR: "scratch"}
    levers = ["a lower precision"]
    if tier.tier > 0:
        levers.append(f"pinning tensors to a tier further out than {where.name}")
    reason = explain(
        where.name,
        buffers,
        capacity_bytes,
        op_names=[op.name for op in problem.workload.ops],
        kinds=kinds,
        levers=levers,
    )
    if reason is not None:
        return reason.to_error()
    known = tier.allocation
    best = lowest_found(buffers, known, capacity_bytes, DEFAULT_NODE_BUDGET)
    if known.exhausted:
        outcome = f"no addresses were found in {known.nodes} search nodes"
        proof = f"it is not proven that {capacity_bytes} are too few"
    else:
        outcome = "proven: there are no addresses"
        proof = f"all arrangements were refuted in {known.nodes} search nodes"
    largest = sorted(buffers, key=lambda b: (-b.size_bytes, b.lower, b.upper, b.name))
    return UnmetRequirementError(
        f"{where.name}: {outcome} for {len(buffers)} buffers within {capacity_bytes} bytes, though "
        f"no more is live at once; {best.height_bytes} bytes are enough "
        f"({best.height_bytes - capacity_bytes} more)",
        (
            f"At least {known.lower_bound_bytes} bytes are needed; {proof}.",
            "Largest buffers:",
            *(
                f"  {quoted(b.name)} ({kinds[b.name]}): {b.size_bytes} bytes"
                for b in largest[:_TOP]
            ),
            f"What would help: a capacity of {best.height_bytes} bytes",
            *(f"What would help: {lever}" for lever in levers),
        ),
    )


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


def _renamed_states(problem: PlacementProblem) -> list[int]:
    """States that go by another name once they are written."""
    tensors = problem.workload.tensors
    return [t for t, tensor in enumerate(tensors) if tensor.written_as]


def _written_state(problem: PlacementProblem, index: int) -> PlanTensor:
    """A state by the name that it has once it is written: the same memory."""
    tensor = problem.workload.tensors[index]
    return PlanTensor(
        name=tensor.written_as,
        kind=str(tensor.kind),
        size_bytes=tensor.size_bytes,
        alignment_bytes=1,
        alias_of=tensor.name,
        alias_offset=0,
        residences=[],
        data_type=tensor.data_type,
        shape=list(tensor.shape),
    )


def _plan_ops(problem: PlacementProblem, timeline: Timeline) -> list[PlanOp]:
    tensors = problem.workload.tensors
    names = [tensor.name for tensor in tensors]
    after = [tensor.written_as or tensor.name for tensor in tensors]
    result = []
    for op, trace in zip(problem.workload.ops, timeline.ops, strict=True):
        reads = dict.fromkeys(
            after[o.tensor] if o.fresh else names[o.tensor] for o in op.operands if not o.is_write
        )
        writes = dict.fromkeys(after[o.tensor] for o in op.operands if o.is_write)
        # Of a state that it writes in part an op keeps the rest.
        reads |= dict.fromkeys(
            names[o.tensor] for o in op.operands if o.is_write and tensors[o.tensor].written_as
        )
        result.append(PlanOp(op.name, list(op.nodes), trace.split, list(reads), list(writes)))
    return result
