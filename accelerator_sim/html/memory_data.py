"""The memory map: every buffer of the plan as a rectangle of offsets and op indices."""

from dataclasses import dataclass

from accelerator_sim.html.limits import MAX_TENSORS, short
from accelerator_sim.html.move_costs import MoveCost, move_costs
from accelerator_sim.plan import IMAGE_TENSOR, STAGING_TENSOR, PlanTensor, Residence
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.report_case import ReportCase
from accelerator_sim.units import bytes_text, seconds_text
from graph_ir.workload import TensorKind

Json = dict[str, object]

NO_DIFFERENCE_S = 5e-10
"""Less than this, in seconds, is no difference."""

_KINDS = {STAGING_TENSOR: "staging", IMAGE_TENSOR: "image"}


@dataclass(frozen=True, slots=True)
class _Rectangle:
    tensor: PlanTensor
    residence: Residence
    tier: int
    size_bytes: int
    start: int
    end: int

    @property
    def area(self) -> int:
        return self.size_bytes * (self.end - self.start)


def memory_data(case: ReportCase) -> Json:
    """Rectangles as a list per column, largest areas first, and how many were left out."""
    problem, plan = case.problem, case.plan
    index = {tensor.name: t for t, tensor in enumerate(problem.workload.tensors)}
    found = _rectangles(case, index)
    rows = found[:MAX_TENSORS]
    known = dict.fromkeys(index[r.tensor.name] for r in rows if r.tensor.name in index)
    costs = move_costs(problem, case.homes, known)
    return {
        "op_count": max(1, len(plan.ops)),
        "name": [short(r.tensor.name) for r in rows],
        "kind": [_KINDS.get(r.tensor.name, r.tensor.kind) for r in rows],
        "tier": [r.tier for r in rows],
        "mode": [r.residence.mode for r in rows],
        "offset": [r.residence.offset for r in rows],
        "bytes": [r.size_bytes for r in rows],
        "tensor_bytes": [r.tensor.size_bytes for r in rows],
        "start": [r.start for r in rows],
        "end": [r.end for r in rows],
        "type": [r.tensor.data_type for r in rows],
        "shape": [r.tensor.shape for r in rows],
        "why": [_why(problem, r, index.get(r.tensor.name), costs) for r in rows],
        "cost_s": [_outward_cost_s(problem, r, index.get(r.tensor.name), costs) for r in rows],
        "total": len(found),
        "aliases": sum(tensor.alias_of is not None for tensor in plan.tensors),
    }


def _rectangles(case: ReportCase, index: dict[str, int]) -> list[_Rectangle]:
    tiers = {tier.name: k for k, tier in enumerate(case.plan.tiers)}
    op_count = max(1, len(case.plan.ops))
    sizes_TH = case.problem.arrays.size_bytes_TH
    result = []
    for tensor in case.plan.tensors:
        for residence in tensor.residences:
            tier = tiers[residence.tier]
            size = tensor.size_bytes
            if tensor.name in index:
                home = case.homes[index[tensor.name]]
                if case.problem.homes[home].tier == tier:
                    size = int(sizes_TH[index[tensor.name], home])
            end = min(residence.end, op_count)
            if size > 0 and residence.start < end:
                result.append(_Rectangle(tensor, residence, tier, size, residence.start, end))
    result.sort(key=lambda r: (-r.area, r.tier, r.residence.offset, r.start, r.tensor.name))
    return result


def _why(
    problem: PlacementProblem,
    rectangle: _Rectangle,
    tensor: int | None,
    costs: dict[int, list[MoveCost]],
) -> list[str]:
    """Why it is where it is: what its other homes would cost, each simulated by itself."""
    if rectangle.tensor.name == STAGING_TENSOR:
        return ["the ring through which weights of outer memories arrive"]
    if rectangle.tensor.name == IMAGE_TENSOR:
        return ["the copies that resident weights of inner memories are loaded from"]
    if tensor is None:
        return []
    where = rectangle.residence.tier
    if not costs[tensor]:
        if problem.workload.tensors[tensor].kind is TensorKind.IO:
            return [f"inputs and outputs of the model stay in {where}"]
        return ["its only home: it is pinned, or the others are too small for it"]
    return [_move_text(problem, cost) for cost in costs[tensor]]


def _move_text(problem: PlacementProblem, cost: MoveCost) -> str:
    text = f"in {problem.home_name(cost.home)} instead: {_difference(cost.seconds)}"
    if cost.over_bytes > 0:
        text += f", but {bytes_text(cost.over_bytes)} too much"
    return text


def _difference(seconds: float) -> str:
    if abs(seconds) < NO_DIFFERENCE_S:
        return "no difference"
    text = seconds_text(abs(seconds)).replace("us", "\u00b5s")
    return f"{text} {'slower' if seconds > 0 else 'faster'}"


def _outward_cost_s(
    problem: PlacementProblem,
    rectangle: _Rectangle,
    tensor: int | None,
    costs: dict[int, list[MoveCost]],
) -> float | None:
    """Seconds that the next home outwards would cost; None where there is none."""
    if tensor is None:
        return None
    outwards = [cost for cost in costs[tensor] if problem.homes[cost.home].tier < rectangle.tier]
    return outwards[-1].seconds if outwards else None
