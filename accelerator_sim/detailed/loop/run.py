"""The loop: event after event until all ops are done."""

from accelerator_sim.compiled import compiled, compiled_part
from accelerator_sim.detailed.flat import Programs
from accelerator_sim.detailed.loop.dma import begin, prefetch, serve
from accelerator_sim.detailed.loop.events import Event, schedule, start, take
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
    State,
)

BEGINNING, LAUNCHING, EXECUTING, MEETING = range(4)
"""What the machine does: nothing yet, launch an op, execute it, wait for all cores at its end."""


@compiled
def run(p: Programs, s: State) -> bool:
    """Simulate one inference; False where nothing is left to happen and ops are not done."""
    start(s, Event.PREFETCH)
    start(s, Event.MACHINE)
    while s.counter_F[EVENTS] > 0:
        order, kind, argument = take(s)
        if kind == Event.SERVED:
            job = finish(p, s, argument, order)
            if job >= 0:
                served(p, s, s.job_JF[job, SENT_AS])
        elif kind == Event.ANSWERED:
            answered(p, s, argument)
        elif kind == Event.COMPUTE:
            compute(p, s)
        elif kind == Event.STORE:
            store(p, s, argument)
        elif kind == Event.SLOT:
            resume_waiting(p, s, argument)
        elif kind == Event.LOAD:
            load(p, s)
        elif kind == Event.DRAIN:
            drain(p, s)
        elif kind == Event.SERVE:
            serve(p, s)
        elif kind == Event.PREFETCH:
            prefetch(p, s)
        elif kind == Event.MACHINE:
            _go_on(p, s)
        elif kind == Event.END:
            return True
    return False


@compiled_part
def _go_on(p: Programs, s: State) -> None:
    """The machine: all ops, one after another."""
    state, op = s.counter_F[MACHINE_STATE], s.counter_F[RUNNING]
    if state == LAUNCHING:
        s.counter_F[MACHINE_STATE] = EXECUTING
        execute(p, s)
        return
    if state == EXECUTING and s.value_F[BARRIER_S] > 0.0:
        s.counter_F[MACHINE_STATE] = MEETING
        schedule(s, s.value_F[BARRIER_S], Event.MACHINE, 0)
        return
    if state != BEGINNING:
        s.op_end_N[op] = s.value_F[NOW]
    op += 1
    if op == s.op_NF.shape[0]:
        schedule(s, 0.0, Event.END, 0)
        return
    begin(p, s, op)
    if s.value_F[LAUNCH_S] > 0.0:
        s.counter_F[MACHINE_STATE] = LAUNCHING
        schedule(s, s.value_F[LAUNCH_S], Event.MACHINE, 0)
        return
    s.counter_F[MACHINE_STATE] = EXECUTING
    execute(p, s)
