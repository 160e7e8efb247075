"""From an op and the homes of its operands to a program: the best of all ways to execute it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed.parameters import DetailedParameters
from accelerator_sim.detailed.program import Hops, Program, Request, Transfer, estimate
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
from accelerator_sim.detailed.tiling import Step, Tiling, tilings_of
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


def compile_op(
    case: OpCase,
    homes: Sequence[Home],
    accelerator: Accelerator,
    servers: Servers,
    parameters: DetailedParameters,
) -> Program:
    """The program that the compiler expects to be fastest.

    Args:
        case: the op.
        homes: of its operands, in their order.
        accelerator: the target.
        servers: of the target.
        parameters: of the model.

    Raises:
        InputError: the target has no rate for the op's types.
    """
    best: Program | None = None
    for sharing in sharings_of(case.op, accelerator.core_count):
        shares = [
            share_of(operand, sharing, ratio)
            for operand, ratio in zip(case.op.operands, case.ratios, strict=True)
        ]
        core_bytes = (
            _core_bytes(case.op, shares, Role.LEFT),
            _core_bytes(case.op, shares, Role.RIGHT),
            sum(share.core for share in shares),
        )
        flows = _flows(case, homes, sharing, shares, accelerator, servers)
        for tiling in tilings_of(
            case.op, sharing, core_bytes, case.layout_ops, accelerator, parameters
        ):
            program = _program(case, flows, tiling, accelerator, servers, parameters)
            if best is None or program.expected_s < best.expected_s:
                best = program
    assert best is not None  # There is always a sharing and a tiling.
    return best


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
        if _streams(operand, kind, home, inner):
            routes = streaming(home, sharing, share, accelerator, servers)
            flows.append(
                _Flow(
                    position, operand.role, home.tier, False,
                    routes.drain, routes.fill, routes.ring_bytes,
                )
            )  # fmt: skip
            continue
        arguments = (operand, kind, home, sharing, share, accelerator, servers)
        if not operand.is_write:
            flows.append(
                _Flow(position, operand.role, home.tier, False, reading(*arguments), None, 0.0)
            )
        if operand.is_write or operand.role is Role.SCRATCH:
            flows.append(
                _Flow(position, operand.role, home.tier, True, writing(*arguments), None, 0.0)
            )
    return flows


def _streams(operand: Operand, kind: TensorKind, home: Home, inner: int) -> bool:
    return kind in RESIDENT_KINDS and home.tier != inner and not operand.is_write


def _program(
    case: OpCase, flows: Sequence[_Flow], tiling: Tiling,
    accelerator: Accelerator, servers: Servers, parameters: DetailedParameters,
) -> Program:  # fmt: skip
    clock_hz = accelerator.clock_hz.value
    loads, stores = [], []
    for index, step in enumerate(tiling.steps):
        loads.append(_requests(flows, step, index, False, accelerator))
        stores.append(_requests(flows, step, index, True, accelerator))
    mac_s = tuple(step.mac_cycles / clock_hz for step in tiling.steps)
    vector_s = tuple(step.work * tiling.vector_cycles / clock_hz for step in tiling.steps)
    transfers = _transfers(flows, tiling.steps, accelerator, parameters)
    count = len(servers.bytes_per_s)

    def seconds(early: int) -> float:
        return estimate(
            loads, stores, mac_s, vector_s, transfers, early, count, parameters.tile_slots
        )

    alone_s = hidden_s = ringful_s = seconds(0)
    if transfers:
        hidden_s = seconds(len(transfers))
        ringful_s = seconds(_ringful(transfers, accelerator))
    return Program(
        tuple(loads), tuple(stores), mac_s, vector_s, tuple(transfers), 0,
        alone_s, hidden_s, (alone_s + ringful_s) / 2,
    )  # fmt: skip


def _ringful(transfers: Sequence[Transfer], accelerator: Accelerator) -> int:
    """How many of them the part of the ring that prefetches may use can hold."""
    streaming = accelerator.streaming
    room = float(streaming.staging_bytes - 2 * streaming.slice_bytes)
    for count, transfer in enumerate(transfers):
        room -= transfer.ring_bytes
        if room < 0.0:
            return count
    return len(transfers)


def worth_prefetching(program: Program, servers: Servers, parameters: DetailedParameters) -> int:
    """The fewest transfers that must be in the ring when the op begins for it not to stall."""
    low, high = 0, len(program.transfers)
    target_s = program.hidden_s * (1.0 + parameters.prefetch_tolerance)
    while low < high:
        middle = (low + high) // 2
        seconds = estimate(
            program.loads, program.stores, program.mac_s, program.vector_s, program.transfers,
            middle, len(servers.bytes_per_s), parameters.tile_slots,
        )  # fmt: skip
        if seconds <= target_s:
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
