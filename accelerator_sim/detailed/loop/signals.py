"""What an arrival or a free place tells those that wait for it.

None of these does anything but count and schedule: who waited goes on when its event comes.
"""

from accelerator_sim.compiled import compiled
from accelerator_sim.detailed.flat import FIRST_TRANSFER, Programs
from accelerator_sim.detailed.loop.events import (
    COMPUTE,
    DRAINING,
    MACHINE,
    PREFETCH,
    SERVE,
    SLOT,
    schedule,
)
from accelerator_sim.detailed.loop.state import (
    ARRIVAL_WAITED,
    FIRST_ARRIVAL,
    FREED,
    IN_FLIGHT,
    ISSUED_EARLY,
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
    Constants,
    State,
)


@compiled
def arrived(s: State, step: int) -> None:
    """A part of what a step needs is in the tile buffer."""
    s.missing_S[step] -= 1
    if s.missing_S[step] == 0 and s.counter_F[READY_WAITED] > 0:
        s.counter_F[READY_WAITED] = 0
        schedule(s, 0.0, COMPUTE, 0)


@compiled
def freed(s: State) -> None:
    """A tile slot is free."""
    s.counter_F[FREED] += 1
    if s.counter_F[SLOT_WAITERS] > 0:
        schedule(s, 0.0, SLOT, s.counter_F[SLOT_WAITERS])
        s.counter_F[SLOT_WAITERS] = 0


@compiled
def finished(s: State) -> None:
    """A result is written, or a step has sent all of its results."""
    s.counter_F[UNFINISHED] -= 1
    if s.counter_F[UNFINISHED] == 0:
        schedule(s, 0.0, MACHINE, 0)


@compiled
def wake_prefetcher(s: State) -> None:
    """Something that prefetching may have waited for happened."""
    if s.counter_F[PREFETCH_WAITED] > 0:
        s.counter_F[PREFETCH_WAITED] = 0
        schedule(s, 0.0, PREFETCH, 0)


@compiled
def filled(s: State, op: int, number: int, early: bool) -> None:
    """A transfer is in the ring."""
    s.arrived_D[s.op_NF[op, FIRST_ARRIVAL] + number] = True
    if early:
        s.counter_F[IN_FLIGHT] -= 1
        wake_prefetcher(s)
    if s.counter_F[ARRIVAL_WAITED] > 0 and op == s.counter_F[RUNNING]:
        s.counter_F[ARRIVAL_WAITED] = 0
        schedule(s, 0.0, DRAINING, 0)


@compiled
def released(c: Constants, p: Programs, s: State, op: int, number: int) -> None:
    """A core has read what a transfer brought in: its place in the ring is free."""
    program = s.op_NF[op, PROGRAM]
    size = p.ring_bytes_D[p.program_PF[program, FIRST_TRANSFER] + number]
    if number < s.op_NF[op, ISSUED_EARLY]:
        s.clock_F[ROOM] += size
        wake_prefetcher(s)
        return
    s.clock_F[WINDOW] += min(size, c.constant_F[SLICE_BYTES])
    if s.counter_F[SERVE_WAITED] > 0:
        s.counter_F[SERVE_WAITED] = 0
        schedule(s, 0.0, SERVE, 0)
