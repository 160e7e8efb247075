"""The loop: event after event until all ops are done."""

from accelerator_sim.compiled import compiled
from accelerator_sim.detailed.flat import Programs
from accelerator_sim.detailed.loop.dma import begin, prefetch, serve
from accelerator_sim.detailed.loop.events import (
    ANSWERED,
    COMPUTE,
    DRAINING,
    END,
    LOAD,
    MACHINE,
    PREFETCH,
    SERVE,
    SERVED,
    SLOT,
    STORE,
    schedule,
    start,
    take,
)
from accelerator_sim.detailed.loop.execution import (
    compute,
    drain,
    execute,
    load,
    resume_waiting,
    store,
)
from accelerator_sim.detailed.loop.requests import answered, served
from accelerator_sim.detailed.loop.servers import finish
from accelerator_sim.detailed.loop.state import (
    BARRIER_S,
    EVENTS,
    LAUNCH_S,
    MACHINE_STATE,
    NOW,
    RUNNING,
    SENT_AS,
    Constants,
    State,
)

BEGINNING, LAUNCHING, EXECUTING, MEETING = range(4)
"""What the machine does: nothing yet, launch an op, execute it, wait for all cores at its end."""


@compiled
def run(c: Constants, p: Programs, s: State) -> bool:
    """Simulate one inference; False where nothing is left to happen and ops are not done."""
    start(s, PREFETCH)
    start(s, MACHINE)
    while s.counter_F[EVENTS] > 0:
        order, kind, argument = take(s)
        if kind == SERVED:
            job = finish(c, p, s, argument, order)
            if job >= 0:
                served(c, p, s, s.job_JF[job, SENT_AS])
        elif kind == ANSWERED:
            answered(c, p, s, argument)
        elif kind == COMPUTE:
            compute(c, p, s)
        elif kind == STORE:
            store(c, p, s, argument)
        elif kind == SLOT:
            resume_waiting(c, p, s, argument)
        elif kind == LOAD:
            load(c, p, s)
        elif kind == DRAINING:
            drain(c, p, s)
        elif kind == SERVE:
            serve(c, p, s)
        elif kind == PREFETCH:
            prefetch(c, p, s)
        elif kind == MACHINE:
            _go_on(c, p, s)
        elif kind == END:
            return True
    return False


@compiled
def _go_on(c: Constants, p: Programs, s: State) -> None:
    """The machine: all ops, one after another."""
    state, op = s.counter_F[MACHINE_STATE], s.counter_F[RUNNING]
    if state == LAUNCHING:
        s.counter_F[MACHINE_STATE] = EXECUTING
        execute(p, s)
        return
    if state == EXECUTING and c.constant_F[BARRIER_S] > 0.0:
        s.counter_F[MACHINE_STATE] = MEETING
        schedule(s, c.constant_F[BARRIER_S], MACHINE, 0)
        return
    if state != BEGINNING:
        s.op_end_N[op] = s.clock_F[NOW]
    op += 1
    if op == s.op_NF.shape[0]:
        schedule(s, 0.0, END, 0)
        return
    begin(p, s, op)
    if c.constant_F[LAUNCH_S] > 0.0:
        s.counter_F[MACHINE_STATE] = LAUNCHING
        schedule(s, c.constant_F[LAUNCH_S], MACHINE, 0)
        return
    s.counter_F[MACHINE_STATE] = EXECUTING
    execute(p, s)
