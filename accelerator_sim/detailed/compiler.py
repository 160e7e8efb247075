"""From an op and the homes of its operands to a program: the best of all ways to execute it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed.cases import OpCase
from accelerator_sim.detailed.estimate import Traffic, estimate_s
from accelerator_sim.detailed.flows import Flow, flows_of, share_of_step, traffic_of
from accelerator_sim.detailed.parameters import DetailedParameters
from accelerator_sim.detailed.program import Program, Request, Transfer
from accelerator_sim.detailed.sharing import Servers, Share, Sharing, share_of, sharings_of
from accelerator_sim.detailed.tiling import Step, TilingArrays, arrays_of, tilings_of
from accelerator_sim.detailed.transfers import transfers_of
from graph_ir.workload import Op, Role


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
        arrays = tuple(arrays_of(tiling, accelerator) for tiling in dict.fromkeys(tilings))
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
    best: tuple[float, Sequence[Flow], Traffic, TilingArrays] | None = None
    for candidate in candidates:
        flows = flows_of(case, homes, candidate.sharing, candidate.shares, accelerator, servers)
        traffic = traffic_of(flows, accelerator, servers)
        for arrays in candidate.tilings:
            # What it chooses by: the mean of nothing and a whole ring prefetched.
            expected_s = _estimate(arrays, traffic, 0.0, parameters)
            if traffic.scarce:
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


def _program(
    flows: Sequence[Flow], traffic: Traffic, arrays: TilingArrays,
    accelerator: Accelerator, parameters: DetailedParameters,
) -> Program:  # fmt: skip
    steps = arrays.tiling.steps
    loads, stores = [], []
    for index, step in enumerate(steps):
        loads.append(_requests(flows, step, index, False, accelerator))
        stores.append(_requests(flows, step, index, True, accelerator))
    transfers = transfers_of(flows, steps, accelerator, parameters)
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
    """The fewest transfers that must be in the ring when the op begins for it not to stall.

    What comes from inner tiers arrives fast; it prefetches one transfer, to cover the latency.
    """
    if not traffic.scarce:
        return 1
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


def _requests(
    flows: Sequence[Flow], step: Step, index: int, is_write: bool, accelerator: Accelerator
) -> tuple[Request, ...]:
    """One request for each memory: what a step moves to or from it is one chain of bursts."""
    hops_of_tier: dict[int, dict[int, float]] = {}
    first_of_tier: dict[int, int] = {}
    for flow in flows:
        part = share_of_step(flow.role, step)
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
