"""What each operand of an op asks of the servers under the homes that the operands have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed.cases import OpCase
from accelerator_sim.detailed.estimate import DRAIN, FILL, LOAD, STORE, Traffic
from accelerator_sim.detailed.sharing import (
    RESIDENT_KINDS,
    Route,
    Servers,
    Share,
    Sharing,
    reading,
    streaming,
    writing,
)
from accelerator_sim.detailed.tiling import Step
from graph_ir.workload import Operand, Role, TensorKind


@dataclass(frozen=True, slots=True)
class Flow:
    """One operand on its way: `direct` through `route`, or through the ring (`fill` is set)."""

    position: int
    role: Role
    tier: int
    is_write: bool
    route: Route
    fill: Route | None
    ring_bytes: float


def flows_of(
    case: OpCase, homes: Sequence[Home], sharing: Sharing, shares: Sequence[Share],
    accelerator: Accelerator, servers: Servers,
) -> list[Flow]:  # fmt: skip
    """All reading, writing and streaming of an op, shared in one way."""
    inner = len(accelerator.tiers) - 1
    flows = []
    for position, (operand, kind, home, share) in enumerate(
        zip(case.op.operands, case.kinds, homes, shares, strict=True)
    ):
        if accelerator.streaming.path == "ring" and _streams(operand, kind, home, inner):
            routes = streaming(home, sharing, share, accelerator, servers)
            fill = servers.bounded(routes.fill, home.tier, "copy")
            flows.append(
                Flow(
                    position, operand.role, home.tier, False,
                    routes.drain, fill, routes.ring_bytes,
                )
            )  # fmt: skip
            continue
        arguments = (operand, kind, home, sharing, share, accelerator, servers)
        if not operand.is_write:
            route = servers.bounded(reading(*arguments), home.tier, _stream_kind(operand, kind))
            flows.append(Flow(position, operand.role, home.tier, False, route, None, 0.0))
        if operand.is_write or operand.role is Role.SCRATCH:
            route = servers.bounded(writing(*arguments), home.tier, "output")
            flows.append(Flow(position, operand.role, home.tier, True, route, None, 0.0))
    return flows


def _stream_kind(operand: Operand, kind: TensorKind) -> str:
    """A key of `Tier.stream_bytes_per_s`."""
    if operand.role is Role.RIGHT:
        return "weights"
    return "parameters" if kind is TensorKind.WEIGHT else "input"


def _streams(operand: Operand, kind: TensorKind, home: Home, inner: int) -> bool:
    direct = operand.is_write or operand.fresh or home.tier == inner
    return kind in RESIDENT_KINDS and not direct


def traffic_of(flows: Sequence[Flow], accelerator: Accelerator, servers: Servers) -> Traffic:
    """The sum of all flows, for the estimate."""
    seconds = np.zeros((4, 3, len(servers.bytes_per_s)))
    latency = np.zeros((4, 3))
    ring = np.zeros(3)
    outer_bytes = 0.0
    for flow in flows:
        role = _ROLE_INDEX.get(flow.role, 2)
        used = DRAIN if flow.fill is not None else STORE if flow.is_write else LOAD
        for server, value in flow.route.hops:
            seconds[used, role, server] += value
        latency_s = accelerator.tiers[flow.tier].latency_s.value
        if flow.fill is not None:
            ring[role] += flow.ring_bytes
            outer_bytes += flow.ring_bytes if flow.tier == 0 else 0.0
            for server, value in flow.fill.hops:
                seconds[FILL, role, server] += value
            latency[FILL, role] = max(latency[FILL, role], latency_s)
        elif not flow.is_write:
            latency[LOAD, role] = max(latency[LOAD, role], latency_s)
    return Traffic(seconds, latency, ring, outer_bytes > 0.5 * float(ring.sum()))


_ROLE_INDEX = {Role.LEFT: 0, Role.RIGHT: 1}


def share_of_step(role: Role, step: Step) -> float:
    """How much of an operand a step moves."""
    if role is Role.LEFT:
        return step.left
    if role is Role.RIGHT:
        return step.right
    return step.work
