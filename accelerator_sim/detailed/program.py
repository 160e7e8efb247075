"""What the hardware is told to do for one op: requests, transfers and arithmetic, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass

Hops = tuple[tuple[int, float], ...]
"""Server and seconds of each; all of a request's hops work at the same time (cut through)."""


@dataclass(frozen=True, slots=True)
class Request:
    """Bytes that a core reads or writes.

    Attributes:
        hops: servers that they pass.
        latency_s: from the last byte's service to its arrival.
        operand: position of the (first) operand whose bytes they are.
        page: which part of it.
        is_write: towards the memory.
    """

    hops: Hops
    latency_s: float
    operand: int
    page: int
    is_write: bool


@dataclass(frozen=True, slots=True)
class Transfer:
    """One DMA descriptor, and the reading of what it brought from the ring.

    Attributes:
        fill: into the ring.
        drain: from the ring into the tile buffer.
        ring_bytes: room taken; of a chain of slices, all of them together.
        step: that needs it.
    """

    fill: Request
    drain: Request
    ring_bytes: float
    step: int


@dataclass(frozen=True, slots=True)
class Program:
    """One op under one placement of its operands.

    Attributes:
        loads: requests of each step.
        stores: requests of each step.
        mac_s: of each step.
        vector_s: of each step.
        transfers: in the order of use.
        early: how many of them are worth bringing in before the op begins.
        alone_s: the compiler's estimate with nothing prefetched.
        hidden_s: its estimate with everything prefetched.
        expected_s: what it chooses by: the mean of nothing and a whole ring prefetched.
    """

    loads: tuple[tuple[Request, ...], ...]
    stores: tuple[tuple[Request, ...], ...]
    mac_s: tuple[float, ...]
    vector_s: tuple[float, ...]
    transfers: tuple[Transfer, ...]
    early: int
    alone_s: float
    hidden_s: float
    expected_s: float


def estimate(
    loads: Sequence[Sequence[Request]],
    stores: Sequence[Sequence[Request]],
    mac_s: Sequence[float],
    vector_s: Sequence[float],
    transfers: Sequence[Transfer],
    early: int,
    server_count: int,
    tile_slots: int,
) -> float:
    """Seconds that the op takes alone, with the first `early` transfers in the ring already.

    The compiler's view: no arbitration, no conflicts.
    """
    busy = [0.0] * server_count
    arrival_of_step = [0.0] * len(mac_s)
    drain_of_step = [0.0] * len(mac_s)
    filled = 0.0
    for index, transfer in enumerate(transfers):
        slowest = 0.0
        for server, seconds in transfer.drain.hops:
            busy[server] += seconds
            slowest = max(slowest, seconds)
        drain_of_step[transfer.step] += slowest
        if index >= early:
            slowest = 0.0
            for server, seconds in transfer.fill.hops:
                busy[server] += seconds
                slowest = max(slowest, seconds)
            filled += slowest
            arrival_of_step[transfer.step] = filled + transfer.fill.latency_s
    loaded = ready = mac_end = vector_end = stored = 0.0
    freed: list[float] = []
    for step, (requests, results) in enumerate(zip(loads, stores, strict=True)):
        slowest = latency = 0.0
        for request in requests:
            latency = max(latency, request.latency_s)
            for server, seconds in request.hops:
                busy[server] += seconds
                slowest = max(slowest, seconds)
        start = loaded if step < tile_slots else max(loaded, freed[step - tile_slots])
        loaded = start + slowest
        ready = max(ready, loaded + latency)
        if drain_of_step[step] > 0.0:
            ready = max(ready, arrival_of_step[step]) + drain_of_step[step]
        mac_end = max(mac_end, ready) + mac_s[step]
        vector_end = max(vector_end, mac_end) + vector_s[step]
        freed.append(mac_end if mac_s[step] > 0.0 else vector_end)
        slowest = 0.0
        for request in results:
            for server, seconds in request.hops:
                busy[server] += seconds
                slowest = max(slowest, seconds)
        stored = max(stored, vector_end) + slowest
    return max(stored, *busy)
