"""The DMA engine: weights and states of outer tiers arrive through the staging ring.

The twin is `twin/dma.py`. Two state machines: `prefetch` goes through the ops to come, `serve`
through what the running op still misses. Both stop where there is no room, remember where they are
and go on from there when an event resumes them.
"""

from accelerator_sim.compiled import compiled_part
from accelerator_sim.detailed.flat import (
    EARLY,
    FILL,
    FIRST_TRANSFER,
    RING_BYTES,
    TRANSFER_COUNT,
    Programs,
)
from accelerator_sim.detailed.loop.events import Event, start
from accelerator_sim.detailed.loop.requests import issue
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
    State,
)

EPSILON_BYTES = 1e-6


@compiled_part
def begin(p: Programs, s: State, op: int) -> None:
    """An op begins: what it needs and has not been asked for is asked for now."""
    s.counter_F[RUNNING] = op
    issued = s.op_NF[op, ISSUED]
    s.op_NF[op, ISSUED_EARLY] = issued
    if issued < p.row_XF[s.op_NF[op, PROGRAM], TRANSFER_COUNT]:
        s.counter_F[SERVE_NUMBER] = issued
        start(s, Event.SERVE)
    wake_prefetcher(s)


@compiled_part
def prefetch(p: Programs, s: State) -> None:
    """Send transfers of ops to come while ring, engine and distance allow it."""
    op, number = s.counter_F[PREFETCH_OP], s.counter_F[PREFETCH_NUMBER]
    while op < s.op_NF.shape[0]:
        program = s.op_NF[op, PROGRAM]
        early, first = p.row_XF[program, EARLY], p.row_XF[program, FIRST_TRANSFER]
        while number < early and s.counter_F[RUNNING] < op:
            size = p.value_XF[first + number, RING_BYTES]
            if (
                op > s.counter_F[RUNNING] + s.counter_F[PREFETCH_OPS]
                or s.counter_F[IN_FLIGHT] >= s.counter_F[DMA_DEPTH]
                or s.value_F[ROOM] < size - EPSILON_BYTES
            ):
                s.counter_F[PREFETCH_OP] = op
                s.counter_F[PREFETCH_NUMBER] = number
                s.counter_F[PREFETCH_WAITED] = 1
                return
            s.value_F[ROOM] -= size
            s.counter_F[IN_FLIGHT] += 1
            s.op_NF[op, ISSUED] = number + 1
            fill = p.row_XF[first + number, FILL]
            issue(p, s, op, fill, number)
            number += 1
        op, number = op + 1, 0


@compiled_part
def serve(p: Programs, s: State) -> None:
    """Send the running op's transfers while its slices of the ring allow it."""
    op = s.counter_F[RUNNING]
    program = s.op_NF[op, PROGRAM]
    first = p.row_XF[program, FIRST_TRANSFER]
    for number in range(s.counter_F[SERVE_NUMBER], p.row_XF[program, TRANSFER_COUNT]):
        needed = min(p.value_XF[first + number, RING_BYTES], s.value_F[SLICE_BYTES])
        if s.value_F[WINDOW] < needed - EPSILON_BYTES:
            s.counter_F[SERVE_NUMBER] = number
            s.counter_F[SERVE_WAITED] = 1
            return
        s.value_F[WINDOW] -= needed
        s.op_NF[op, ISSUED] = number + 1
        fill = p.row_XF[first + number, FILL]
        issue(p, s, op, fill, number)
