"""The queue of events: a binary heap ordered by time, then priority, then order of scheduling."""

from enum import IntEnum

from accelerator_sim.compiled import compiled_part
from accelerator_sim.detailed.loop.state import (
    ARGUMENT,
    EVENTS,
    KIND,
    NOW,
    ORDER,
    QUEUE_ORDER,
    State,
)


class Event(IntEnum):
    """Kinds of events; an enumeration, since numba compiles anew for every literal argument."""

    MACHINE = 0
    """Resumes a state machine, as do the next five."""
    LOAD = 1
    DRAIN = 2
    COMPUTE = 3
    PREFETCH = 4
    SERVE = 5
    SLOT = 6
    """Resumes those that wait for a tile slot (its argument)."""
    STORE = 7
    """Writes the results of a step (its argument)."""
    SERVED = 8
    """Ends the job of a server (its argument)."""
    ANSWERED = 9
    """A request (its argument) arrives after its latency."""
    END = 10
    """Ends the simulation."""


URGENT = 1 << 62
"""What a state machine's first step precedes others of the same time by."""


@compiled_part
def schedule(s: State, delay_s: float, kind: int, argument: int) -> int:
    """Let something happen later, or now but after all that was scheduled for now; its order."""
    order = s.counter_F[ORDER]
    s.counter_F[ORDER] = order + 1
    _push(s, s.value_F[NOW] + delay_s, order, kind, argument)
    return int(order)


@compiled_part
def start(s: State, kind: int) -> None:
    """Let a state machine begin now, before all else that was scheduled for now but beginnings."""
    order = s.counter_F[ORDER]
    s.counter_F[ORDER] = order + 1
    _push(s, s.value_F[NOW], order - URGENT, kind, 0)


@compiled_part
def _push(s: State, time_s: float, order: int, kind: int, argument: int) -> None:
    time_Q, queue_QF = s.time_Q, s.queue_QF
    place = s.counter_F[EVENTS]
    if place == time_Q.shape[0]:
        raise IndexError("the queue of events is full")
    s.counter_F[EVENTS] = place + 1
    while place > 0:
        above = (place - 1) >> 1
        if time_Q[above] < time_s:
            break
        if time_Q[above] == time_s and queue_QF[above, QUEUE_ORDER] < order:
            break
        _move(s, above, place)
        place = above
    time_Q[place] = time_s
    queue_QF[place, QUEUE_ORDER] = order
    queue_QF[place, KIND] = kind
    queue_QF[place, ARGUMENT] = argument


@compiled_part
def take(s: State) -> tuple[int, int, int]:
    """Remove the first event, whose time it is now: its order, kind and argument."""
    time_Q, queue_QF = s.time_Q, s.queue_QF
    found = (queue_QF[0, QUEUE_ORDER], queue_QF[0, KIND], queue_QF[0, ARGUMENT])
    s.value_F[NOW] = time_Q[0]
    count = s.counter_F[EVENTS] - 1
    s.counter_F[EVENTS] = count
    time_s, order = time_Q[count], queue_QF[count, QUEUE_ORDER]
    # The last event goes down from the top until both below it are later.
    place = 0
    while True:
        below = 2 * place + 1
        if below >= count:
            break
        if below + 1 < count and _before(
            time_Q[below + 1], queue_QF[below + 1, QUEUE_ORDER],
            time_Q[below], queue_QF[below, QUEUE_ORDER],
        ):  # fmt: skip
            below += 1
        if _before(time_s, order, time_Q[below], queue_QF[below, QUEUE_ORDER]):
            break
        _move(s, below, place)
        place = below
    _move(s, count, place)
    return found


@compiled_part
def _before(time_s: float, order: int, other_s: float, other_order: int) -> bool:
    return time_s < other_s or (time_s == other_s and order < other_order)


@compiled_part
def _move(s: State, source: int, target: int) -> None:
    s.time_Q[target] = s.time_Q[source]
    for column in range(3):
        s.queue_QF[target, column] = s.queue_QF[source, column]
