"""Why a greedy decoder finds no place for some tensor."""

from accelerator_sim.allocate.buffers import Buffer
from accelerator_sim.infeasible import explain
from accelerator_sim.problem import PlacementProblem
from graph_ir.errors import UnmetRequirementError

_LEVERS = ("a lower precision", "a smaller extent (--dim), or a smaller model")


def no_room(problem: PlacementProblem) -> UnmetRequirementError:
    """Demand and capacity: of all memories together, or else of the outermost one.

    In the first case no placement exists. In the second one may, but the tensors that do not fit
    the outermost memory would have to fill the others almost without a gap.
    """
    accelerator, tensors = problem.accelerator, problem.workload.tensors
    size_TH, allowed_TH = problem.arrays.size_bytes_TH, problem.allowed_TH
    kinds = {tensor.name: str(tensor.kind) for tensor in tensors}
    op_names = [op.name for op in problem.workload.ops]
    buffers = [
        Buffer(tensor.name, tensor.start, tensor.end, int(size_TH[t][allowed_TH[t]].min()), 1)
        for t, tensor in enumerate(tensors)
        if tensor.alias_of is None
    ]
    capacities = [int(tier.capacity_bytes.value) for tier in accelerator.tiers]
    everywhere = explain(
        f"{accelerator.name}, all memories together",
        buffers,
        sum(capacities),
        op_names=op_names,
        kinds=kinds,
        levers=_LEVERS,
    )
    if everywhere is not None:
        return everywhere.to_error()
    outermost = explain(
        f"{accelerator.tiers[0].name} alone, and no way was found to spread the rest",
        buffers,
        capacities[0],
        op_names=op_names,
        kinds=kinds,
        levers=_LEVERS,
    )
    if outermost is not None:
        return outermost.to_error()
    return UnmetRequirementError(
        "placement: the pins leave no room for some tensor beside the others",
        ("What would help: fewer pins",),
    )
