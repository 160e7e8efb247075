"""One op on the busiest core: three state machines that hand tiles on.

The twin is `Execution` in `twin/machine.py`. `load` fills tile slots with what is read from where
it lives, `drain` with what passes through the ring, `compute` takes the tiles that are complete.
Each remembers its step and goes on from there when an event resumes it; `compute` also remembers
what it waits for.
"""

from accelerator_sim.compiled import compiled_part
from accelerator_sim.detailed.flat import (
    DRAIN,
    END_STORE,
    FIRST_LOAD,
    FIRST_STEP,
    FIRST_STORE,
    FIRST_TRANSFER,
    MAC_S,
    STEP,
    STEP_COUNT,
    TRANSFER_COUNT,
    VECTOR_S,
    Programs,
)
from accelerator_sim.detailed.loop.events import Event, schedule, start
from accelerator_sim.detailed.loop.requests import issue
from accelerator_sim.detailed.loop.signals import arrived, finished, freed
from accelerator_sim.detailed.loop.state import (
    ARRIVAL_WAITED,
    COMPUTE_STATE,
    COMPUTE_STEP,
    DRAIN_NUMBER,
    DRAIN_STEP,
    FIRST_ARRIVAL,
    FREED,
    LOAD_STEP,
    MISSING,
    NOW,
    PROGRAM,
    READY_WAITED,
    RUNNING,
    SLOT_WAITERS,
    TILE_SLOTS,
    UNFINISHED,
    VECTOR_FREE,
    State,
)

COLLECTING, MULTIPLYING, FOLLOWING = range(3)
"""What `compute` waits for: a complete tile, the matrix unit, the vector unit alone."""

BY_LOAD, BY_DRAIN, BY_LOAD_THEN_DRAIN, BY_DRAIN_THEN_LOAD = range(1, 5)
"""Who waits for a tile slot, in the order in which they came."""


@compiled_part
def execute(p: Programs, s: State) -> None:
    """Begin the running op."""
    program = s.op_NF[s.counter_F[RUNNING], PROGRAM]
    steps, transfers = p.row_XF[program, STEP_COUNT], p.row_XF[program, TRANSFER_COUNT]
    for step in range(steps):
        s.counter_F[MISSING + step] = 2 if transfers > 0 else 1
    for counter in (
        FREED, READY_WAITED, SLOT_WAITERS, LOAD_STEP, DRAIN_STEP, DRAIN_NUMBER, COMPUTE_STEP,
    ):  # fmt: skip
        s.counter_F[counter] = 0
    s.counter_F[UNFINISHED] = steps
    s.counter_F[COMPUTE_STATE] = COLLECTING
    s.value_F[VECTOR_FREE] = 0.0
    start(s, Event.LOAD)
    if transfers > 0:
        start(s, Event.DRAIN)
    start(s, Event.COMPUTE)


@compiled_part
def load(p: Programs, s: State) -> None:
    """Send the loads of one step after another, as far as there are tile slots."""
    op = s.counter_F[RUNNING]
    program = s.op_NF[op, PROGRAM]
    first = p.row_XF[program, FIRST_STEP]
    for step in range(s.counter_F[LOAD_STEP], p.row_XF[program, STEP_COUNT]):
        if step - s.counter_F[FREED] >= s.counter_F[TILE_SLOTS]:
            s.counter_F[LOAD_STEP] = step
            others = s.counter_F[SLOT_WAITERS]
            s.counter_F[SLOT_WAITERS] = BY_LOAD if others == 0 else BY_DRAIN_THEN_LOAD
            return
        row = first + step
        for request in range(p.row_XF[row, FIRST_LOAD], p.row_XF[row, FIRST_STORE]):
            s.counter_F[MISSING + step] += 1
            issue(p, s, op, request, step)
        arrived(s, step)


@compiled_part
def drain(p: Programs, s: State) -> None:
    """Read transfer after transfer from the ring, as far as they came and there are tile slots."""
    op, number = s.counter_F[RUNNING], s.counter_F[DRAIN_NUMBER]
    program = s.op_NF[op, PROGRAM]
    first, count = p.row_XF[program, FIRST_TRANSFER], p.row_XF[program, TRANSFER_COUNT]
    for step in range(s.counter_F[DRAIN_STEP], p.row_XF[program, STEP_COUNT]):
        if step - s.counter_F[FREED] >= s.counter_F[TILE_SLOTS]:
            s.counter_F[DRAIN_STEP] = step
            s.counter_F[DRAIN_NUMBER] = number
            others = s.counter_F[SLOT_WAITERS]
            s.counter_F[SLOT_WAITERS] = BY_DRAIN if others == 0 else BY_LOAD_THEN_DRAIN
            return
        while number < count and p.row_XF[first + number, STEP] == step:
            if not s.arrived_D[s.op_NF[op, FIRST_ARRIVAL] + number]:
                s.counter_F[DRAIN_STEP] = step
                s.counter_F[DRAIN_NUMBER] = number
                s.counter_F[ARRIVAL_WAITED] = 1
                return
            s.counter_F[MISSING + step] += 1
            request = p.row_XF[first + number, DRAIN]
            issue(p, s, op, request, number)
            number += 1
        arrived(s, step)


@compiled_part
def resume_waiting(p: Programs, s: State, waiters: int) -> None:
    """A tile slot became free."""
    if waiters in (BY_LOAD, BY_LOAD_THEN_DRAIN):
        load(p, s)
    if waiters != BY_LOAD:
        drain(p, s)
    if waiters == BY_DRAIN_THEN_LOAD:
        load(p, s)


@compiled_part
def compute(p: Programs, s: State) -> None:
    """The matrix unit, and behind it the vector unit, take tile after tile."""
    step, state = s.counter_F[COMPUTE_STEP], s.counter_F[COMPUTE_STATE]
    program = s.op_NF[s.counter_F[RUNNING], PROGRAM]
    first, steps = p.row_XF[program, FIRST_STEP], p.row_XF[program, STEP_COUNT]
    if state == MULTIPLYING:
        freed(s)
        schedule(s, _vector_delay(s, p.value_XF[first + step, VECTOR_S]), Event.STORE, step)
        step += 1
    elif state == FOLLOWING:
        freed(s)
        store(p, s, step)
        step += 1
    s.counter_F[COMPUTE_STEP] = step
    if step == steps:
        return
    if s.counter_F[MISSING + step] > 0:
        s.counter_F[READY_WAITED] = 1
        s.counter_F[COMPUTE_STATE] = COLLECTING
        return
    mac_s = p.value_XF[first + step, MAC_S]
    if mac_s > 0.0:
        s.counter_F[COMPUTE_STATE] = MULTIPLYING
        schedule(s, mac_s, Event.COMPUTE, 0)
    else:
        s.counter_F[COMPUTE_STATE] = FOLLOWING
        schedule(s, _vector_delay(s, p.value_XF[first + step, VECTOR_S]), Event.COMPUTE, 0)


@compiled_part
def _vector_delay(s: State, vector_s: float) -> float:
    """Seconds until the vector unit is done with a tile that it gets now."""
    now = s.value_F[NOW]
    s.value_F[VECTOR_FREE] = max(s.value_F[VECTOR_FREE], now) + vector_s
    return float(s.value_F[VECTOR_FREE] - now)


@compiled_part
def store(p: Programs, s: State, step: int) -> None:
    """Write the results of a step."""
    op = s.counter_F[RUNNING]
    row = p.row_XF[s.op_NF[op, PROGRAM], FIRST_STEP] + step
    first, end = p.row_XF[row, FIRST_STORE], p.row_XF[row, END_STORE]
    s.counter_F[UNFINISHED] += end - first
    for request in range(first, end):
        issue(p, s, op, request, step)
    finished(s)
