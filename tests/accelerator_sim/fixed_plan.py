"""How long a plan takes whose decisions are kept while the machine changes.

The engine decides as it goes: which variant of an op is best, and what the DMA fetches when. On
another machine it decides anew, by rules that look no further than the op at hand, so that now and
then a slower machine is lucky. A plan's decisions are fixed: its variants, and during which op
every byte of a stream is fetched. With those kept, a slower machine is never faster, and on the
machine on which they were taken the engine's latency comes out.
"""

from dataclasses import dataclass

from accelerator_sim.cost.traffic import operand_use, resource_names, resource_seconds
from accelerator_sim.cost.variants import Variant
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.reference_engine import simulate


@dataclass(frozen=True)
class FixedPlan:
    """Homes, variants (split, loop order), and how what streams is shared out.

    `share[j, tensor, i]` of what op j streams of a tensor is fetched while op i runs; `late` ops
    wait for a first slice.
    """

    homes: list[int]
    variants: list[tuple[str, str]]
    share: dict[tuple[int, str, int], float]
    late: list[bool]


@dataclass(frozen=True)
class _PricedOp:
    variant: Variant
    own_s: list[float]
    stream_s: dict[str, float]
    latency_s: float
    late_s: float


def fix(problem: PlacementProblem, homes: list[int]) -> FixedPlan:
    """The decisions that the engine takes."""
    timeline = simulate(problem, homes)
    moved: dict[tuple[int, str, int], int] = {}
    total: dict[tuple[int, str], int] = {}
    for transfer in timeline.transfers:
        key = transfer.for_op, transfer.tensor
        part = (*key, transfer.during_op)
        moved[part] = moved.get(part, 0) + transfer.size_bytes
        total[key] = total.get(key, 0) + transfer.size_bytes
    variants = [(op.split, op.loop_order) for op in timeline.ops]
    share = {key: size / max(1, total[key[:2]]) for key, size in moved.items()}
    plan = FixedPlan(homes, variants, share, [False] * problem.op_count)
    for i, op in enumerate(timeline.ops):
        priced = _price(problem, i, plan)
        on_time_s = priced.variant.fill_s + priced.latency_s
        plan.late[i] = op.fill_s > on_time_s + priced.late_s / 2
    return plan


def seconds(problem: PlacementProblem, plan: FixedPlan) -> float:
    """Latency of the plan on the problem's machine."""
    tensors = {tensor.name: t for t, tensor in enumerate(problem.workload.tensors)}
    priced = [_price(problem, i, plan) for i in range(problem.op_count)]
    passing: list[dict[int, float]] = [{} for _ in priced]
    late: list[dict[int, float]] = [{} for _ in priced]
    for (j, name, i), share in plan.share.items():
        tier = problem.homes[plan.homes[tensors[name]]].tier
        for part_s in (passing[i], late[i]) if i == j else (passing[i],):
            part_s[tier] = part_s.get(tier, 0.0) + share * priced[j].stream_s[name]
    total = 0.0
    for i, op in enumerate(priced):
        core_s = max([op.variant.compute_s, *op.own_s])
        core_s = max([core_s, *(op.own_s[tier] + part_s for tier, part_s in late[i].items())])
        op_s = core_s + op.variant.fill_s + op.latency_s + (op.late_s if plan.late[i] else 0.0)
        # What is fetched for later ops may also use the time in which the op fills its pipeline.
        total += max([op_s, *(op.own_s[tier] + part_s for tier, part_s in passing[i].items())])
    return total


def _price(problem: PlacementProblem, index: int, plan: FixedPlan) -> _PricedOp:
    accelerator = problem.accelerator
    op = problem.workload.ops[index]
    variant = next(
        v for v in problem.variants_N[index] if (v.split, v.loop_order) == plan.variants[index]
    )
    own_s = [0.0] * len(resource_names(accelerator))
    stream_s: dict[str, float] = {}
    latency_s = late_s = 0.0
    for operand, passes in zip(op.operands, variant.passes, strict=True):
        tensor = problem.workload.tensors[operand.tensor]
        home = problem.homes[plan.homes[operand.tensor]]
        ratio = float(problem.stored_ratio_T[operand.tensor])
        use = operand_use(operand, tensor.kind, home, variant, passes, accelerator, ratio)
        own_s = [a + b for a, b in zip(own_s, resource_seconds(use, accelerator), strict=True)]
        own_latency_s = accelerator.tiers[home.tier].latency_s.value
        if use.stream_s > 0.0:
            stream_s[tensor.name] = stream_s.get(tensor.name, 0.0) + use.stream_s
            late_s = max(late_s, own_latency_s)
            own_latency_s = accelerator.tiers[-1].latency_s.value
        if not operand.is_write:
            latency_s = max(latency_s, own_latency_s)
    return _PricedOp(variant, own_s, stream_s, latency_s, max(0.0, late_s - latency_s))
