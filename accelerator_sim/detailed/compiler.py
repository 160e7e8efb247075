"""From an op and the homes of its operands to a program: the best of all ways to execute it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed.estimate import DRAIN, FILL, LOAD, STORE, Traffic, estimate_s
from accelerator_sim.detailed.parameters import DetailedParameters
from accelerator_sim.detailed.program import Hops, Program, Request, Transfer
from accelerator_sim.detailed.sharing import (
    RESIDENT_KINDS,
    Route,
    Servers,
    Share,
    Sharing,
    reading,
    share_of,
    sharings_of,
    streaming,
    writing,
)
from accelerator_sim.detailed.tiling import Step, TilingArrays, arrays_of, tilings_of
from graph_ir.workload import Op, Operand, Role, Tensor, TensorKind, Workload


@dataclass(frozen=True, slots=True)
class OpCase:
    """An op as the compiler sees it: everything but the homes.

    Attributes:
        op: the op.
        kinds: of its operands' tensors.
        ratios: stored bytes over packed bytes of its operands.
        layout_ops: vector operations that changing the layout of its inputs takes.
    """

    op: Op
    kinds: tuple[TensorKind, ...]
    ratios: tuple[float, ...]
    layout_ops: float

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for ops that get equal programs."""
        op = self.op
        return (
            op.family, op.mac_work, op.vector_ops, op.rows, op.columns, op.execution_type,
            tuple((o.role, o.traffic_bytes, o.split_by, o.halo_bytes) for o in op.operands),
            self.kinds, self.ratios, self.layout_ops,
        )  # fmt: skip


def cases_of(workload: Workload, accelerator: Accelerator) -> list[OpCase]:
    """The ops of a workload, layout rounding and layout exchange resolved."""
    written_as: dict[int, str] = {}
    for op in workload.ops:
        for operand in op.operands:
            kind = workload.tensors[operand.tensor].kind
            if operand.is_write and kind is TensorKind.ACTIVATION:
                written_as[operand.tensor] = op.layout
    cases = []
    for op in workload.ops:
        tensors = [workload.tensors[operand.tensor] for operand in op.operands]
        exchanged = 0
        if accelerator.layout_exchange:
            exchanged = sum(
                prod(tensor.shape)
                for operand, tensor in zip(op.operands, tensors, strict=True)
                if not operand.is_write and written_as.get(operand.tensor, op.layout) != op.layout
            )
        cases.append(
            OpCase(
                op,
                tuple(tensor.kind for tensor in tensors),
                tuple(_stored_ratio(tensor, accelerator.layout_channels) for tensor in tensors),
                float(exchanged),
            )
        )
    return cases


def _stored_ratio(tensor: Tensor, quantum: int) -> float:
    if tensor.kind is TensorKind.WEIGHT or tensor.channels <= 0:
        return 1.0
    return -(-tensor.channels // quantum) * quantum / tensor.channels


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to share an op, and all ways to tile it then; homes play no part in these."""

    sharing: Sharing
    shares: tuple[Share, ...]
    tilings: tuple[TilingArrays, ...]


def candidates_of(
    case: OpCase, accelerator: Accelerator, parameters: DetailedParameters
) -> tuple[Candidate, ...]:
    """All ways to execute an op that are worth considering.

    Raises:
        InputError: the target has no rate for the op's types.
    """
    found = []
    for sharing in sharings_of(case.op, accelerator.core_count):
        shares = tuple(
            share_of(operand, sharing, ratio)
            for operand, ratio in zip(case.op.operands, case.ratios, strict=True)
        )
        core_bytes = (
            _core_bytes(case.op, shares, Role.LEFT),
            _core_bytes(case.op, shares, Role.RIGHT),
            sum(share.core for share in shares),
        )
        tilings = tilings_of(case.op, sharing, core_bytes, case.layout_ops, accelerator, parameters)
        # Different fineness often ends in the same tiles.
        arrays = tuple(
            arrays_of(tiling, accelerator.clock_hz.value) for tiling in dict.fromkeys(tilings)
        )
        found.append(Candidate(sharing, shares, arrays))
    return tuple(found)


def compile_op(
    case: OpCase,
    candidates: Sequence[Candidate],
    homes: Sequence[Home],
    accelerator: Accelerator,
    servers: Servers,
    parameters: DetailedParameters,
) -> Program:
    """The program that the compiler expects to be fastest.

    Args:
        case: the op.
        candidates: of the op.
        homes: of its operands, in their order.
        accelerator: the target.
        servers: of the target.
        parameters: of the model.
    """
    room = _prefetch_room(accelerator)
    best: tuple[float, Sequence[_Flow], Traffic, TilingArrays] | None = None
    for candidate in candidates:
        flows = _flows(case, homes, candidate.sharing, candidate.shares, accelerator, servers)
        traffic = _traffic(flows, accelerator, servers)
        for arrays in candidate.tilings:
            # What it chooses by: the mean of nothing and a whole ring prefetched.
            expected_s = _estimate(arrays, traffic, 0.0, parameters)
            if traffic.ring_bytes_R.any():
                expected_s = (expected_s + _estimate(arrays, traffic, room, parameters)) / 2
            if best is None or expected_s < best[0]:
                best = expected_s, flows, traffic, arrays
    assert best is not None  # There is always a sharing and a tiling.
    return _program(*best[1:], accelerator, parameters)


def _prefetch_room(accelerator: Accelerator) -> float:
    """Bytes of the ring that prefetches may use."""
    streaming = accelerator.streaming
    return max(0.0, float(streaming.staging_bytes - 2 * streaming.slice_bytes))


def _estimate(
    arrays: TilingArrays, traffic: Traffic, early_bytes: float, parameters: DetailedParameters
) -> float:
    return float(
        estimate_s(
            arrays.share_RS, arrays.mac_S, arrays.vector_S, traffic.seconds_FRK,
            traffic.latency_FR, traffic.ring_bytes_R, early_bytes, parameters.tile_slots,
        )
    )  # fmt: skip


def _core_bytes(op: Op, shares: Sequence[Share], role: Role) -> float:
    return sum(s.core for o, s in zip(op.operands, shares, strict=True) if o.role is role)


@dataclass(frozen=True, slots=True)
class _Flow:
    """One operand on its way: `direct` through `route`, or through the ring (`fill` is set)."""

    position: int
    role: Role
    tier: int
    is_write: bool
    route: Route
    fill: Route | None
    ring_bytes: float


def _flows(
    case: OpCase, homes: Sequence[Home], sharing: Sharing, shares: Sequence[Share],
    accelerator: Accelerator, servers: Servers,
) -> list[_Flow]:  # fmt: skip
    inner = len(accelerator.tiers) - 1
    flows = []
    for position, (operand, kind, home, share) in enumerate(
        zip(case.op.operands, case.kinds, homes, shares, strict=True)
    ):
        if accelerator.streaming.path == "ring" and _streams(operand, kind, home, inner):
            routes = streaming(home, sharing, share, accelerator, servers)
            fill = servers.bounded(routes.fill, home.tier, "copy")
            flows.append(
                _Flow(
                    position, operand.role, home.tier, False,
                    routes.drain, fill, routes.ring_bytes,
                )
            )  # fmt: skip
            continue
        arguments = (operand, kind, home, sharing, share, accelerator, servers)
        if not operand.is_write:
            route = servers.bounded(reading(*arguments), home.tier, _stream_kind(operand, kind))
            flows.append(_Flow(position, operand.role, home.tier, False, route, None, 0.0))
        if operand.is_write or operand.role is Role.SCRATCH:
            route = servers.bounded(writing(*arguments), home.tier, "output")
            flows.append(_Flow(position, operand.role, home.tier, True, route, None, 0.0))
    return flows


def _stream_kind(operand: Operand, kind: TensorKind) -> str:
    """A key of `Tier.stream_bytes_per_s`."""
    if operand.role is Role.RIGHT:
        return "weights"
    return "parameters" if kind is TensorKind.WEIGHT else "input"


def _streams(operand: Operand, kind: TensorKind, home: Home, inner: int) -> bool:
    return kind in RESIDENT_KINDS and home.tier != inner and not operand.is_write


def _traffic(flows: Sequence[_Flow], accelerator: Accelerator, servers: Servers) -> Traffic:
    seconds = np.zeros((4, 3, len(servers.bytes_per_s)))
    latency = np.zeros((4, 3))
    ring = np.zeros(3)
    for flow in flows:
        role = _ROLE_INDEX.get(flow.role, 2)
        used = DRAIN if flow.fill is not None else STORE if flow.is_write else LOAD
        for server, value in flow.route.hops:
            seconds[used, role, server] += value
        latency_s = accelerator.tiers[flow.tier].latency_s.value
        if flow.fill is not None:
            ring[role] += flow.ring_bytes
            for server, value in flow.fill.hops:
                seconds[FILL, role, server] += value
            latency[FILL, role] = max(latency[FILL, role], latency_s)
        elif not flow.is_write:
            latency[LOAD, role] = max(latency[LOAD, role], latency_s)
    return Traffic(seconds, latency, ring)


_ROLE_INDEX = {Role.LEFT: 0, Role.RIGHT: 1}


def _program(
    flows: Sequence[_Flow], traffic: Traffic, arrays: TilingArrays,
    accelerator: Accelerator, parameters: DetailedParameters,
) -> Program:  # fmt: skip
    steps = arrays.tiling.steps
    loads, stores = [], []
    for index, step in enumerate(steps):
        loads.append(_requests(flows, step, index, False, accelerator))
        stores.append(_requests(flows, step, index, True, accelerator))
    transfers = _transfers(flows, steps, accelerator, parameters)
    alone_s = hidden_s = _estimate(arrays, traffic, 0.0, parameters)
    early = 0
    if transfers:
        hidden_s = _estimate(arrays, traffic, np.inf, parameters)
        early = _worth_prefetching(transfers, hidden_s, traffic, arrays, parameters)
    return Program(
        tuple(loads), tuple(stores), tuple(arrays.mac_S.tolist()), tuple(arrays.vector_S.tolist()),
        tuple(transfers), early, alone_s, hidden_s,
    )  # fmt: skip


def _worth_prefetching(
    transfers: Sequence[Transfer], hidden_s: float, traffic: Traffic, arrays: TilingArrays,
    parameters: DetailedParameters,
) -> int:  # fmt: skip
    """The fewest transfers that must be in the ring when the op begins for it not to stall."""
    sizes = np.cumsum([0.0] + [transfer.ring_bytes for transfer in transfers])
    target_s = hidden_s * (1.0 + parameters.prefetch_tolerance)
    low, high = 0, len(transfers)
    while low < high:
        middle = (low + high) // 2
        if _estimate(arrays, traffic, float(sizes[middle]), parameters) <= target_s:
            high = middle
        else:
            low = middle + 1
    return low


def _share_of_step(role: Role, step: Step) -> float:
    if role is Role.LEFT:
        return step.left
    if role is Role.RIGHT:
        return step.right
    return step.work


def _requests(
    flows: Sequence[_Flow], step: Step, index: int, is_write: bool, accelerator: Accelerator
) -> tuple[Request, ...]:
    """One request for each memory: what a step moves to or from it is one chain of bursts."""
    hops_of_tier: dict[int, dict[int, float]] = {}
    first_of_tier: dict[int, int] = {}
    for flow in flows:
        part = _share_of_step(flow.role, step)
        if flow.fill is not None or flow.is_write is not is_write or part <= 0.0:
            continue
        hops = hops_of_tier.setdefault(flow.tier, {})
        first_of_tier.setdefault(flow.tier, flow.position)
        for server, seconds in flow.route.hops:
            hops[server] = hops.get(server, 0.0) + seconds * part
    return tuple(
        Request(
            tuple((server, seconds) for server, seconds in hops.items() if seconds > 0.0),
            0.0 if is_write else accelerator.tiers[tier].latency_s.value,
            first_of_tier[tier],
            index,
            is_write,
        )
        for tier, hops in hops_of_tier.items()
    )


def _transfers(
    flows: Sequence[_Flow], steps: Sequence[Step],
    accelerator: Accelerator, parameters: DetailedParameters,
) -> list[Transfer]:  # fmt: skip
    """Descriptors in the order in which their bytes are used."""
    inner = len(accelerator.tiers) - 1
    ring_latency_s = accelerator.tiers[inner].latency_s.value
    streams = [flow for flow in flows if flow.fill is not None]
    # Bytes of each stream that no descriptor covers yet, and the step that needs the first one.
    waiting = [0.0] * len(streams)
    since = [0] * len(streams)
    cut = [0] * len(streams)
    sizes = [_transfer_sizes(flow, steps, accelerator, parameters) for flow in streams]
    found: list[Transfer] = []
    for index, step in enumerate(steps):
        for number, flow in enumerate(streams):
            needed = flow.ring_bytes * _share_of_step(flow.role, step)
            if needed <= 0.0:
                continue
            if waiting[number] <= 0.0:
                since[number] = index
            waiting[number] += needed
            last = not any(_share_of_step(flow.role, later) > 0.0 for later in steps[index + 1 :])
            while waiting[number] > 0.0:
                limit = sizes[number].at(cut[number])
                if waiting[number] < limit * 0.999 and not last:
                    break
                size = min(waiting[number], limit)
                cut[number] += 1
                latency_s = accelerator.tiers[flow.tier].latency_s.value
                found.append(
                    _transfer(flow, size, since[number], len(found), latency_s, ring_latency_s)
                )
                waiting[number] = max(0.0, waiting[number] - size)
                if waiting[number] < 1e-6:
                    waiting[number] = 0.0
                since[number] = index
    found.sort(key=lambda transfer: transfer.step)
    return found


@dataclass(frozen=True, slots=True)
class _TransferSizes:
    """Bytes of a stream's descriptors: what the ring can hold is cut finely, the rest coarsely."""

    first: float
    first_count: int
    later: float

    def at(self, number: int) -> float:
        """Of one descriptor."""
        return self.first if number < self.first_count else self.later


def _transfer_sizes(
    flow: _Flow, steps: Sequence[Step], accelerator: Accelerator, parameters: DetailedParameters
) -> _TransferSizes:
    """A slice at most, less where a stream would be one or two of them.

    Beyond what the ring holds, chains of slices of very long streams are simulated as one.
    """
    streaming = accelerator.streaming
    size = flow.ring_bytes * sum(_share_of_step(flow.role, step) for step in steps)
    fine = max(float(parameters.min_transfer_bytes), size / parameters.transfers)
    first = max(1.0, min(float(streaming.slice_bytes), fine))
    count = int(streaming.staging_bytes / first) + 1
    return _TransferSizes(first, count, max(first, size / parameters.max_transfers))


def _transfer(
    flow: _Flow, size: float, step: int, number: int, latency_s: float, ring_latency_s: float
) -> Transfer:
    assert flow.fill is not None  # Only streams are cut into transfers.
    part = size / flow.ring_bytes
    return Transfer(
        Request(_scaled(flow.fill, part), latency_s, flow.position, number, False),
        Request(_scaled(flow.route, part), ring_latency_s, flow.position, number, False),
        size,
        step,
    )


def _scaled(route: Route, part: float) -> Hops:
    return tuple((server, seconds * part) for server, seconds in route.hops if seconds > 0.0)
