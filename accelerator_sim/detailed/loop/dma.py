"""The DMA engine: weights and states of outer tiers arrive through the staging ring.

The twin is `twin/dma.py`. Two state machines: `prefetch` goes through the ops to come, `serve`
through what the running op still misses. Both stop where there is no room, remember where they are
and go on from there when an event resumes them.
"""

from accelerator_sim.compiled import compiled
from accelerator_sim.detailed.flat import (
    EARLY,
    FILL,
    FIRST_TRANSFER,
    TRANSFERS,
    Programs,
)
from accelerator_sim.detailed.loop import servers
from accelerator_sim.detailed.loop.events import SERVE, start
from accelerator_sim.detailed.loop.requests import PREFETCHED, TRANSFERRED, issue
from accelerator_sim.detailed.loop.signals import wake_prefetcher
from accelerator_sim.detailed.loop.state import (
    DMA_DEPTH,
    IN_FLIGHT,
    ISSUED,
    ISSUED_EARLY,
    PREFETCH_NUMBER,
    PREFETCH_OP,
    PREFETCH_OPS,
    PREFETCH_WAITED,
    PROGRAM,
    ROOM,
    RUNNING,
    SERVE_NUMBER,
    SERVE_WAITED,
    SLICE_BYTES,
    WINDOW,
    Constants,
    State,
)

EPSILON_BYTES = 1e-6


@compiled
def begin(p: Programs, s: State, op: int) -> None:
    """An op begins: what it needs and has not been asked for is asked for now."""
    s.counter_F[RUNNING] = op
    issued = s.op_NF[op, ISSUED]
    s.op_NF[op, ISSUED_EARLY] = issued
    if issued < p.program_PF[s.op_NF[op, PROGRAM], TRANSFERS]:
        s.counter_F[SERVE_NUMBER] = issued
        start(s, SERVE)
    wake_prefetcher(s)


@compiled
def prefetch(c: Constants, p: Programs, s: State) -> None:
    """Send transfers of ops to come while ring, engine and distance allow it."""
    op, number = s.counter_F[PREFETCH_OP], s.counter_F[PREFETCH_NUMBER]
    while op < s.op_NF.shape[0]:
        program = s.op_NF[op, PROGRAM]
        early, first = p.program_PF[program, EARLY], p.program_PF[program, FIRST_TRANSFER]
        while number < early and s.counter_F[RUNNING] < op:
            size = p.ring_bytes_D[first + number]
            if (
                op > s.counter_F[RUNNING] + c.limit_F[PREFETCH_OPS]
                or s.counter_F[IN_FLIGHT] >= c.limit_F[DMA_DEPTH]
                or s.clock_F[ROOM] < size - EPSILON_BYTES
            ):
                s.counter_F[PREFETCH_OP] = op
                s.counter_F[PREFETCH_NUMBER] = number
                s.counter_F[PREFETCH_WAITED] = 1
                return
            s.clock_F[ROOM] -= size
            s.counter_F[IN_FLIGHT] += 1
            s.op_NF[op, ISSUED] = number + 1
            fill = p.transfer_DF[first + number, FILL]
            issue(c, p, s, op, fill, servers.PREFETCHES, PREFETCHED, number)
            number += 1
        op, number = op + 1, 0


@compiled
def serve(c: Constants, p: Programs, s: State) -> None:
    """Send the running op's transfers while its slices of the ring allow it."""
    op = s.counter_F[RUNNING]
    program = s.op_NF[op, PROGRAM]
    first = p.program_PF[program, FIRST_TRANSFER]
    for number in range(s.counter_F[SERVE_NUMBER], p.program_PF[program, TRANSFERS]):
        needed = min(p.ring_bytes_D[first + number], c.constant_F[SLICE_BYTES])
        if s.clock_F[WINDOW] < needed - EPSILON_BYTES:
            s.counter_F[SERVE_NUMBER] = number
            s.counter_F[SERVE_WAITED] = 1
            return
        s.clock_F[WINDOW] -= needed
        s.op_NF[op, ISSUED] = number + 1
        fill = p.transfer_DF[first + number, FILL]
        issue(c, p, s, op, fill, servers.TRANSFERS, TRANSFERRED, number)
