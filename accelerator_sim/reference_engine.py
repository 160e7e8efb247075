"""The timeline in plain Python: the slow, readable twin of `kernel.py`, and the tracer of reports.

It prices operands from the cost model itself, not from the problem's flat arrays, so that a slip in
either the flattening or the compiled code shows as a difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.cost.dequantize import dequantize_ops, mac_energy_j
from accelerator_sim.cost.mac_array.rates import relative_rate
from accelerator_sim.cost.traffic import (
    OperandUse,
    operand_use,
    resource_names,
    resource_seconds,
)
from accelerator_sim.cost.variants import Variant
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.timeline import OpTrace, TierUse, Timeline, Transfer
from graph_ir.workload import Op, TensorKind

EPSILON_S = 1e-15
"""What is less than this has arrived."""


@dataclass(slots=True)
class _Stream:
    """What the DMA brings in for one op from one tier, in seconds of that tier.

    `early_s` of it is worth bringing in before the op begins: what would stall the op, or what
    covers the latency of the first slice.
    """

    tier: int
    needed_s: float = 0.0
    early_s: float = 0.0
    fetched_s: float = 0.0
    ring_bytes: float = 0.0
    parts: list[tuple[int, float, float]] = field(default_factory=list)
    """Position, seconds and unique bytes of each operand, in operand order."""


@dataclass(slots=True)
class _PricedOp:
    op: Op
    variant: Variant
    uses: list[OperandUse]
    own_s: list[float]
    streams: list[_Stream]
    fill_s: float
    late_latency_s: float


def simulate(problem: PlacementProblem, homes: Sequence[int]) -> Timeline:
    """Simulate one placement with tracing.

    Args:
        problem: workload and accelerator.
        homes: a home index per tensor. Capacity is not checked here.
    """
    priced = [_price(problem, index, homes) for index in range(problem.op_count)]
    ops, transfers, latency_s = _walk(problem, priced)
    tiers = _tier_use(problem, homes, priced, ops, latency_s)
    return Timeline(
        latency_s=latency_s,
        cold_latency_s=latency_s + load_seconds(problem, homes),
        energy_j=_energy(problem.accelerator, priced, latency_s),
        ops=tuple(ops),
        transfers=tuple(transfers),
        tiers=tiers,
    )


def load_seconds(problem: PlacementProblem, homes: Sequence[int]) -> float:
    """Time to bring the resident weights of inner tiers in before the first inference."""
    tiers = problem.accelerator.tiers
    total_bytes = 0
    written = [0.0] * len(tiers)
    for tensor, home_index in zip(problem.workload.tensors, homes, strict=True):
        home = problem.homes[home_index]
        if tensor.kind is TensorKind.WEIGHT and tensor.alias_of is None and home.tier > 0:
            total_bytes += tensor.size_bytes
            share = problem.accelerator.core_count if home.mode == "partitioned" else 1
            written[home.tier] += tensor.size_bytes / share
    seconds = [total_bytes / tiers[0].read_bytes_per_s.value]
    seconds += [w / t.write_bytes_per_s.value for w, t in zip(written, tiers, strict=True)]
    return max(seconds)


def _price(problem: PlacementProblem, index: int, homes: Sequence[int]) -> _PricedOp:
    candidates = [
        _price_variant(problem, index, variant, homes) for variant in problem.variants_N[index]
    ]

    def key(item: tuple[int, _PricedOp]) -> tuple[float, float, int]:
        position, priced = item
        early = max([priced.variant.compute_s, *priced.own_s])
        late = max(
            [early] + [priced.own_s[stream.tier] + stream.needed_s for stream in priced.streams]
        )
        return late, early, position

    return min(enumerate(candidates), key=key)[1]


def _price_variant(
    problem: PlacementProblem, index: int, variant: Variant, homes: Sequence[int]
) -> _PricedOp:
    accelerator = problem.accelerator
    op = problem.workload.ops[index]
    own_s = [0.0] * len(resource_names(accelerator))
    streams = [_Stream(tier) for tier in range(len(accelerator.tiers))]
    uses: list[OperandUse] = []
    own_latency = late_latency = 0.0
    for position, (operand, passes) in enumerate(zip(op.operands, variant.passes, strict=True)):
        tensor = problem.workload.tensors[operand.tensor]
        home: Home = problem.homes[homes[operand.tensor]]
        ratio = float(problem.stored_ratio_T[operand.tensor])
        use = operand_use(operand, tensor.kind, home, variant, passes, accelerator, ratio)
        uses.append(use)
        for resource, seconds in enumerate(resource_seconds(use, accelerator)):
            own_s[resource] += seconds
        latency = accelerator.tiers[home.tier].latency_s.value
        if use.stream_s > 0.0:
            stream = streams[use.stream_tier]
            stream.needed_s += use.stream_s
            stream.ring_bytes += use.ring_bytes
            stream.parts.append((position, use.stream_s, use.stream_bytes))
            late_latency = max(late_latency, latency)
            own_latency = max(own_latency, accelerator.tiers[-1].latency_s.value)
        elif not operand.is_write:
            own_latency = max(own_latency, latency)
    exposed_s = max(0.0, late_latency - own_latency)
    core_s = max([variant.compute_s, *own_s])
    for stream in streams:
        hidden_s = core_s - own_s[stream.tier]
        stream.early_s = min(stream.needed_s, max(stream.needed_s - hidden_s, exposed_s))
    return _PricedOp(
        op,
        variant,
        uses,
        own_s,
        streams,
        variant.fill_s + own_latency,
        exposed_s,
    )


def _walk(
    problem: PlacementProblem, priced: list[_PricedOp]
) -> tuple[list[OpTrace], list[Transfer], float]:
    accelerator = problem.accelerator
    ring_bytes = accelerator.streaming.staging_bytes - 2.0 * accelerator.streaming.slice_bytes
    tier_count = len(accelerator.tiers)
    now = occupied = 0.0
    queue = [(j, tier) for j in range(len(priced)) for tier in range(tier_count)]
    position = 0
    ops: list[OpTrace] = []
    transfers: list[Transfer] = []
    for i, this in enumerate(priced):
        late_s = [max(0.0, s.needed_s - s.fetched_s) for s in this.streams]
        is_late = any(
            s.fetched_s < min(s.needed_s, this.late_latency_s) - EPSILON_S for s in this.streams
        )
        busy_s = [own + (late_s[k] if k < tier_count else 0.0) for k, own in enumerate(this.own_s)]
        core_s = max([this.variant.compute_s, *busy_s])
        fill_s = this.fill_s + (this.late_latency_s if is_late else 0.0)
        duration = core_s + fill_s
        for stream, seconds in zip(this.streams, late_s, strict=True):
            if seconds > EPSILON_S:
                transfers += _transfers(
                    problem, stream, i, i, stream.fetched_s, seconds, now, duration
                )
        ops.append(_trace(problem, this, now, duration, fill_s, busy_s, late_s))

        position = max(position, (i + 1) * tier_count)
        idle = duration
        while (
            position < len(queue) and queue[position][0] <= i + accelerator.streaming.prefetch_ops
        ):
            j, tier = queue[position]
            stream = priced[j].streams[tier]
            need = stream.early_s - stream.fetched_s
            if need > EPSILON_S:
                rate = 1.0 - busy_s[tier] / duration
                if rate <= 1e-12 or idle <= 0.0:
                    break
                bytes_per_s = stream.ring_bytes / stream.needed_s
                room = max(0.0, ring_bytes - occupied) / bytes_per_s
                part = min(need, room, idle * rate)
                begin = now + duration - idle
                transfers += _transfers(
                    problem, stream, j, i, stream.fetched_s, part, begin, part / rate
                )
                stream.fetched_s += part
                occupied += part * bytes_per_s
                idle -= part / rate
                if part < need:
                    break
            position += 1
        for stream in this.streams:
            if stream.fetched_s > 0.0:
                occupied -= stream.fetched_s / stream.needed_s * stream.ring_bytes
        occupied = max(occupied, 0.0)
        now += duration
    return ops, transfers, now


def _transfers(
    problem: PlacementProblem,
    stream: _Stream,
    for_op: int,
    during_op: int,
    from_s: float,
    part_s: float,
    begin: float,
    wall_s: float,
) -> list[Transfer]:
    """The tensors that seconds `from_s` to `from_s + part_s` of a stream carry."""
    result: list[Transfer] = []
    if part_s <= 0.0:
        return result
    offset = 0.0
    to_s = from_s + part_s
    operands = problem.workload.ops[for_op].operands
    for position, seconds, total_bytes in stream.parts:
        low, high = max(from_s, offset), min(to_s, offset + seconds)
        if high > low:
            first = round((low - offset) / seconds * total_bytes)
            last = round((high - offset) / seconds * total_bytes)
            result.append(
                Transfer(
                    tensor=problem.workload.tensors[operands[position].tensor].name,
                    tier=problem.accelerator.tiers[stream.tier].name,
                    for_op=for_op,
                    during_op=during_op,
                    start_s=begin + (low - from_s) / part_s * wall_s,
                    end_s=begin + (high - from_s) / part_s * wall_s,
                    first_byte=first,
                    size_bytes=last - first,
                    operand=position,
                )
            )
        offset += seconds
    return result


def _trace(
    problem: PlacementProblem,
    this: _PricedOp,
    start_s: float,
    duration: float,
    fill_s: float,
    busy_s: list[float],
    late_s: list[float],
) -> OpTrace:
    accelerator = problem.accelerator
    names = resource_names(accelerator)
    core_s = max([this.variant.compute_s, *busy_s])
    bounds = {"mac": this.variant.mac_s, "vector": this.variant.vector_s}
    bounds |= dict(zip(names, busy_s, strict=True))
    without_streams = max([this.variant.compute_s, *this.own_s])
    stall_s = max(0.0, core_s - without_streams)
    culprit = ""
    if stall_s > 0.0:
        slowest = max(range(len(late_s)), key=lambda k: (busy_s[k] if late_s[k] > 0.0 else 0.0, -k))
        culprit_at = _latest(this.streams[slowest], late_s[slowest])
        culprit = problem.workload.tensors[this.op.operands[culprit_at].tensor].name
    traffic = {
        tier.name: round(
            sum(
                use.read_bytes[k]
                + use.written_bytes[k]
                + (use.stream_bytes if use.stream_tier == k else 0.0)
                for use in this.uses
            )
        )
        for k, tier in enumerate(accelerator.tiers)
    }
    ideal_s = _ideal_mac_seconds(this.op, accelerator)
    return OpTrace(
        name=this.op.name,
        family=str(this.op.family),
        start_s=start_s,
        end_s=start_s + duration,
        split=str(this.variant.split),
        loop_order=this.variant.loop_order,
        mac_s=this.variant.mac_s,
        vector_s=this.variant.vector_s,
        resource_s=dict(zip(names, busy_s, strict=True)),
        fill_s=fill_s,
        stall_s=stall_s,
        stall_tensor=culprit,
        bound=max(bounds, key=lambda name: bounds[name]),
        macs=this.op.macs,
        utilization=ideal_s / duration if duration > 0.0 else 0.0,
        traffic_bytes=traffic,
    )


def _latest(stream: _Stream, late_s: float) -> int:
    """The operand with the most seconds among the last `late_s` of a stream."""
    from_s = stream.needed_s - late_s
    late: list[tuple[float, int]] = []
    end_s = 0.0
    for position, seconds, _ in stream.parts:
        begin_s, end_s = end_s, end_s + seconds
        late.append((end_s - max(begin_s, from_s), -position))
    return -max(late)[1]


def _ideal_mac_seconds(op: Op, accelerator: Accelerator) -> float:
    """Time of the op's products at the full rate of their types on all cores."""
    array = accelerator.mac_array
    if array is None:
        return 0.0
    macs_per_s = accelerator.core_count * array.macs_per_cycle * accelerator.clock_hz.value
    return sum(
        work.macs / (macs_per_s * relative_rate(array, work.left_type, work.right_type))
        for work in op.mac_work
    )


def _energy(accelerator: Accelerator, priced: list[_PricedOp], latency_s: float) -> float:
    # What the chip leaks meanwhile is shared by the inferences under way.
    energy = accelerator.energy.leakage_w.value * latency_s / accelerator.groups
    for this in priced:
        for work in this.op.mac_work:
            if accelerator.mac_array is None:
                energy += 2.0 * work.macs * accelerator.energy.vector_op_j.value
            else:
                energy += work.macs * mac_energy_j(accelerator, work.left_type, work.right_type)
        vector_ops = this.op.vector_ops + dequantize_ops(this.op, accelerator)
        energy += vector_ops * accelerator.energy.vector_op_j.value
        for use in this.uses:
            for k, tier in enumerate(accelerator.tiers):
                energy += moved_bytes(use, k, accelerator) * tier.energy_j_per_byte.value
    return energy


def moved_bytes(use: OperandUse, tier: int, accelerator: Accelerator) -> float:
    """Bytes that all copies of a tier read and write for one operand, the ring's included."""
    per_core = accelerator.tiers[tier].scope == "per-core"
    readers = use.reading_cores if per_core else 1
    writers = accelerator.core_count if per_core else 1
    moved = use.read_bytes[tier] * readers + use.written_bytes[tier] * writers
    if use.stream_tier == tier:
        moved += use.stream_bytes * readers
    if use.stream_tier >= 0 and tier == len(accelerator.tiers) - 1:
        moved += use.ring_bytes * readers
    return moved


def live_bytes(problem: PlacementProblem, homes: Sequence[int]) -> list[list[int]]:
    """Live bytes per op index and tier, without the staging ring."""
    size_TH = problem.arrays.size_bytes_TH
    change = [[0] * len(problem.accelerator.tiers) for _ in range(problem.op_count + 1)]
    for t, tensor in enumerate(problem.workload.tensors):
        tier = problem.homes[homes[t]].tier
        change[tensor.start][tier] += int(size_TH[t, homes[t]])
        change[tensor.end][tier] -= int(size_TH[t, homes[t]])
    live: list[list[int]] = []
    now = [0] * len(problem.accelerator.tiers)
    for row in change[:-1]:
        now = [bytes_ + more for bytes_, more in zip(now, row, strict=True)]
        live.append(now)
    return live


def uses_staging(problem: PlacementProblem, homes: Sequence[int]) -> bool:
    """Whether any weight or state streams, so that the ring must be reserved."""
    if problem.accelerator.streaming.path != "ring":
        return False
    inner = len(problem.accelerator.tiers) - 1
    return problem.accelerator.streaming.path == "ring" and any(
        problem.workload.tensors[operand.tensor].kind in (TensorKind.WEIGHT, TensorKind.STATE)
        and operand.traffic_bytes > 0
        and not operand.is_write
        and not operand.fresh
        and problem.homes[homes[operand.tensor]].tier != inner
        for op in problem.workload.ops
        for operand in op.operands
    )


def _tier_use(
    problem: PlacementProblem,
    homes: Sequence[int],
    priced: list[_PricedOp],
    ops: list[OpTrace],
    latency_s: float,
) -> tuple[TierUse, ...]:
    accelerator = problem.accelerator
    live = live_bytes(problem, homes)
    staging = accelerator.streaming.staging_bytes if uses_staging(problem, homes) else 0
    result = []
    for k, tier in enumerate(accelerator.tiers):
        read = sum(
            use.read_bytes[k] + (use.stream_bytes if use.stream_tier == k else 0.0)
            for this in priced
            for use in this.uses
        )
        written = sum(use.written_bytes[k] for this in priced for use in this.uses)
        turns = accelerator.groups if tier.scope == "shared" else 1
        read_s = turns * read / tier.read_bytes_per_s.value
        write_s = turns * written / tier.write_bytes_per_s.value
        busy = max(read_s, write_s) if tier.ports == "separate" else read_s + write_s
        peak = max((row[k] for row in live), default=0)
        if k == len(accelerator.tiers) - 1:
            peak += staging
        result.append(
            TierUse(
                name=tier.name,
                capacity_bytes=int(tier.capacity_bytes.value),
                peak_bytes=peak,
                read_bytes=round(read),
                written_bytes=round(written),
                busy_fraction=busy / latency_s if latency_s > 0 else 0.0,
            )
        )
    return tuple(result)
