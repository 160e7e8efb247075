"""What an arrival or a free place tells those that wait for it.

None of these does anything but count and schedule: who waited goes on when its event comes.
"""

from accelerator_sim.compiled import compiled_part
from accelerator_sim.detailed.flat import (
    FIRST_TRANSFER,
    RING_BYTES,
    Programs,
)
from accelerator_sim.detailed.loop.events import Event, schedule
from accelerator_sim.detailed.loop.state import (
    ARRIVAL_WAITED,
    FIRST_ARRIVAL,
    FREED,
    IN_FLIGHT,
    ISSUED_EARLY,
    MISSING,
    PREFETCH_WAITED,
    PROGRAM,
    READY_WAITED,
    ROOM,
    RUNNING,
    SERVE_WAITED,
    SLICE_BYTES,
    SLOT_WAITERS,
    UNFINISHED,
    WINDOW,
    State,
)


@compiled_part
def arrived(s: State, step: int) -> None:
    """A part of what a step needs is in the tile buffer."""
    s.counter_F[MISSING + step] -= 1
    if s.counter_F[MISSING + step] == 0 and s.counter_F[READY_WAITED] > 0:
        s.counter_F[READY_WAITED] = 0
        schedule(s, 0.0, Event.COMPUTE, 0)


@compiled_part
def freed(s: State) -> None:
    """A tile slot is free."""
    s.counter_F[FREED] += 1
    if s.counter_F[SLOT_WAITERS] > 0:
        schedule(s, 0.0, Event.SLOT, s.counter_F[SLOT_WAITERS])
        s.counter_F[SLOT_WAITERS] = 0


@compiled_part
def finished(s: State) -> None:
    """A result is written, or a step has sent all of its results."""
    s.counter_F[UNFINISHED] -= 1
    if s.counter_F[UNFINISHED] == 0:
        schedule(s, 0.0, Event.MACHINE, 0)


@compiled_part
def wake_prefetcher(s: State) -> None:
    """Something that prefetching may have waited for happened."""
    if s.counter_F[PREFETCH_WAITED] > 0:
        s.counter_F[PREFETCH_WAITED] = 0
        schedule(s, 0.0, Event.PREFETCH, 0)


@compiled_part
def filled(s: State, op: int, number: int, early: bool) -> None:
    """A transfer is in the ring."""
    s.arrived_D[s.op_NF[op, FIRST_ARRIVAL] + number] = True
    if early:
        s.counter_F[IN_FLIGHT] -= 1
        wake_prefetcher(s)
    if s.counter_F[ARRIVAL_WAITED] > 0 and op == s.counter_F[RUNNING]:
        s.counter_F[ARRIVAL_WAITED] = 0
        schedule(s, 0.0, Event.DRAIN, 0)


@compiled_part
def released(p: Programs, s: State, op: int, number: int) -> None:
    """A core has read what a transfer brought in: its place in the ring is free."""
    program = s.op_NF[op, PROGRAM]
    size = p.value_XF[p.row_XF[program, FIRST_TRANSFER] + number, RING_BYTES]
    if number < s.op_NF[op, ISSUED_EARLY]:
        s.value_F[ROOM] += size
        wake_prefetcher(s)
        return
    s.value_F[WINDOW] += min(size, s.value_F[SLICE_BYTES])
    if s.counter_F[SERVE_WAITED] > 0:
        s.counter_F[SERVE_WAITED] = 0
        schedule(s, 0.0, Event.SERVE, 0)
