"""One op on the busiest core: three state machines that hand tiles on.

The twin is `Execution` in `twin/machine.py`. `load` fills tile slots with what is read from where
it lives, `drain` with what passes through the ring, `compute` takes the tiles that are complete.
Each remembers its step and goes on from there when an event resumes it; `compute` also remembers
what it waits for.
"""

from accelerator_sim.compiled import compiled
from accelerator_sim.detailed.flat import (
    DRAIN,
    END_STORE,
    FIRST_LOAD,
    FIRST_STEP,
    FIRST_STORE,
    FIRST_TRANSFER,
    MAC_S,
    STEP,
    STEPS,
    TRANSFERS,
    VECTOR_S,
    Programs,
)
from accelerator_sim.detailed.loop.events import COMPUTE, DRAINING, LOAD, STORE, schedule, start
from accelerator_sim.detailed.loop.requests import DRAINED, LOADED, STORED, issue
from accelerator_sim.detailed.loop.servers import LOADS, STORES
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
    NOW,
    PROGRAM,
    READY_WAITED,
    RUNNING,
    SLOT_WAITERS,
    TILE_SLOTS,
    UNFINISHED,
    VECTOR_FREE,
    Constants,
    State,
)

COLLECTING, MULTIPLYING, FOLLOWING = range(3)
"""What `compute` waits for: a complete tile, the matrix unit, the vector unit alone."""

BY_LOAD, BY_DRAIN, BY_LOAD_THEN_DRAIN, BY_DRAIN_THEN_LOAD = range(1, 5)
"""Who waits for a tile slot, in the order in which they came."""


@compiled
def execute(p: Programs, s: State) -> None:
    """Begin the running op."""
    program = s.op_NF[s.counter_F[RUNNING], PROGRAM]
    steps, transfers = p.program_PF[program, STEPS], p.program_PF[program, TRANSFERS]
    for step in range(steps):
        s.missing_S[step] = 2 if transfers > 0 else 1
    for counter in (
        FREED, READY_WAITED, SLOT_WAITERS, LOAD_STEP, DRAIN_STEP, DRAIN_NUMBER, COMPUTE_STEP,
    ):  # fmt: skip
        s.counter_F[counter] = 0
    s.counter_F[UNFINISHED] = steps
    s.counter_F[COMPUTE_STATE] = COLLECTING
    s.clock_F[VECTOR_FREE] = 0.0
    start(s, LOAD)
    if transfers > 0:
        start(s, DRAINING)
    start(s, COMPUTE)


@compiled
def load(c: Constants, p: Programs, s: State) -> None:
    """Send the loads of one step after another, as far as there are tile slots."""
    op = s.counter_F[RUNNING]
    program = s.op_NF[op, PROGRAM]
    first = p.program_PF[program, FIRST_STEP]
    for step in range(s.counter_F[LOAD_STEP], p.program_PF[program, STEPS]):
        if step - s.counter_F[FREED] >= c.limit_F[TILE_SLOTS]:
            s.counter_F[LOAD_STEP] = step
            others = s.counter_F[SLOT_WAITERS]
            s.counter_F[SLOT_WAITERS] = BY_LOAD if others == 0 else BY_DRAIN_THEN_LOAD
            return
        row = first + step
        for request in range(p.step_SF[row, FIRST_LOAD], p.step_SF[row, FIRST_STORE]):
            s.missing_S[step] += 1
            issue(c, p, s, op, request, LOADS, LOADED, step)
        arrived(s, step)


@compiled
def drain(c: Constants, p: Programs, s: State) -> None:
    """Read transfer after transfer from the ring, as far as they came and there are tile slots."""
    op, number = s.counter_F[RUNNING], s.counter_F[DRAIN_NUMBER]
    program = s.op_NF[op, PROGRAM]
    first, count = p.program_PF[program, FIRST_TRANSFER], p.program_PF[program, TRANSFERS]
    for step in range(s.counter_F[DRAIN_STEP], p.program_PF[program, STEPS]):
        if step - s.counter_F[FREED] >= c.limit_F[TILE_SLOTS]:
            s.counter_F[DRAIN_STEP] = step
            s.counter_F[DRAIN_NUMBER] = number
            others = s.counter_F[SLOT_WAITERS]
            s.counter_F[SLOT_WAITERS] = BY_DRAIN if others == 0 else BY_LOAD_THEN_DRAIN
            return
        while number < count and p.transfer_DF[first + number, STEP] == step:
            if not s.arrived_D[s.op_NF[op, FIRST_ARRIVAL] + number]:
                s.counter_F[DRAIN_STEP] = step
                s.counter_F[DRAIN_NUMBER] = number
                s.counter_F[ARRIVAL_WAITED] = 1
                return
            s.missing_S[step] += 1
            request = p.transfer_DF[first + number, DRAIN]
            issue(c, p, s, op, request, LOADS, DRAINED, number)
            number += 1
        arrived(s, step)


@compiled
def resume_waiting(c: Constants, p: Programs, s: State, waiters: int) -> None:
    """A tile slot became free."""
    if waiters == BY_LOAD or waiters == BY_LOAD_THEN_DRAIN:
        load(c, p, s)
    if waiters != BY_LOAD:
        drain(c, p, s)
    if waiters == BY_DRAIN_THEN_LOAD:
        load(c, p, s)


@compiled
def compute(c: Constants, p: Programs, s: State) -> None:
    """The matrix unit, and behind it the vector unit, take tile after tile."""
    step, state = s.counter_F[COMPUTE_STEP], s.counter_F[COMPUTE_STATE]
    program = s.op_NF[s.counter_F[RUNNING], PROGRAM]
    first, steps = p.program_PF[program, FIRST_STEP], p.program_PF[program, STEPS]
    if state == MULTIPLYING:
        freed(s)
        schedule(s, _vector_delay(s, p.unit_SF[first + step, VECTOR_S]), STORE, step)
        step += 1
    elif state == FOLLOWING:
        freed(s)
        store(c, p, s, step)
        step += 1
    s.counter_F[COMPUTE_STEP] = step
    if step == steps:
        return
    if s.missing_S[step] > 0:
        s.counter_F[READY_WAITED] = 1
        s.counter_F[COMPUTE_STATE] = COLLECTING
        return
    mac_s = p.unit_SF[first + step, MAC_S]
    if mac_s > 0.0:
        s.counter_F[COMPUTE_STATE] = MULTIPLYING
        schedule(s, mac_s, COMPUTE, 0)
    else:
        s.counter_F[COMPUTE_STATE] = FOLLOWING
        schedule(s, _vector_delay(s, p.unit_SF[first + step, VECTOR_S]), COMPUTE, 0)


@compiled
def _vector_delay(s: State, vector_s: float) -> float:
    """Seconds until the vector unit is done with a tile that it gets now."""
    now = s.clock_F[NOW]
    s.clock_F[VECTOR_FREE] = max(s.clock_F[VECTOR_FREE], now) + vector_s
    return float(s.clock_F[VECTOR_FREE] - now)


@compiled
def store(c: Constants, p: Programs, s: State, step: int) -> None:
    """Write the results of a step."""
    op = s.counter_F[RUNNING]
    row = p.program_PF[s.op_NF[op, PROGRAM], FIRST_STEP] + step
    first, end = p.step_SF[row, FIRST_STORE], p.step_SF[row, END_STORE]
    s.counter_F[UNFINISHED] += end - first
    for request in range(first, end):
        issue(c, p, s, op, request, STORES, STORED, step)
    finished(s)
