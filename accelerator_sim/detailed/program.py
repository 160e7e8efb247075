"""What the hardware is told to do for one op: requests, transfers and arithmetic, step by step."""

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
    """

    loads: tuple[tuple[Request, ...], ...]
    stores: tuple[tuple[Request, ...], ...]
    mac_s: tuple[float, ...]
    vector_s: tuple[float, ...]
    transfers: tuple[Transfer, ...]
    early: int
    alone_s: float
    hidden_s: float
