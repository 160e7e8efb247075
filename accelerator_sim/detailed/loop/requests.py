"""Requests on their way: to all their servers at once, answered when the slowest has."""

from accelerator_sim.compiled import compiled_part
from accelerator_sim.detailed.flat import (
    ANSWER,
    DRAINED,
    END_HOP,
    FIRST_HOP,
    FIRST_TRANSFER,
    LATENCY_S,
    LOADED,
    OPERAND,
    PAGE,
    PREFETCHES,
    REQUESTER,
    SECONDS,
    SERVER,
    STEP,
    STORED,
    Programs,
)
from accelerator_sim.detailed.loop.events import Event, schedule
from accelerator_sim.detailed.loop.servers import submit
from accelerator_sim.detailed.loop.signals import arrived, filled, finished, released
from accelerator_sim.detailed.loop.state import (
    ASKED_BY,
    FIRST_PAGE,
    FULL_PAGE,
    JOBS,
    NUMBER,
    OP,
    PROGRAM,
    REMAINING,
    REQUEST,
    RUNNING,
    SENT,
    SENT_AS,
    State,
)


@compiled_part
def issue(p: Programs, s: State, op: int, request: int, number: int) -> None:
    """Send a request.

    Args:
        p: all programs.
        s: of the simulation.
        op: that it belongs to.
        request: its row in the program tables.
        number: the step or transfer that it belongs to.
    """
    sent = s.counter_F[SENT]
    s.counter_F[SENT] = sent + 1
    first, end = p.row_XF[request, FIRST_HOP], p.row_XF[request, END_HOP]
    first_page = s.page_E[s.op_NF[op, FIRST_PAGE] + p.row_XF[request, OPERAND]]
    s.sent_RF[sent, REMAINING] = end - first
    s.sent_RF[sent, REQUEST] = request
    early = op != s.counter_F[RUNNING]
    s.sent_RF[sent, ASKED_BY] = PREFETCHES if early else p.row_XF[request, REQUESTER]
    s.sent_RF[sent, OP] = op
    s.sent_RF[sent, NUMBER] = number
    s.sent_RF[sent, FULL_PAGE] = first_page + p.row_XF[request, PAGE]
    if first == end:
        served(p, s, sent)
        return
    for hop in range(first, end):
        job = s.counter_F[JOBS]
        s.counter_F[JOBS] = job + 1
        s.job_JF[job, SENT_AS] = sent
        s.seconds_J[job] = p.value_XF[hop, SECONDS]
        submit(p, s, p.row_XF[hop, SERVER], job)


@compiled_part
def served(p: Programs, s: State, sent: int) -> None:
    """One of a request's servers is done; after the last one its latency passes."""
    s.sent_RF[sent, REMAINING] -= 1
    if s.sent_RF[sent, REMAINING] > 0:
        return
    latency_s = p.value_XF[s.sent_RF[sent, REQUEST], LATENCY_S]
    if latency_s > 0.0:
        schedule(s, latency_s, Event.ANSWERED, sent)
    else:
        answered(p, s, sent)


@compiled_part
def answered(p: Programs, s: State, sent: int) -> None:
    """A request's last byte has arrived."""
    answer = p.row_XF[s.sent_RF[sent, REQUEST], ANSWER]
    op, number = s.sent_RF[sent, OP], s.sent_RF[sent, NUMBER]
    if answer == LOADED:
        arrived(s, number)
    elif answer == DRAINED:
        released(p, s, op, number)
        first = p.row_XF[s.op_NF[op, PROGRAM], FIRST_TRANSFER]
        arrived(s, p.row_XF[first + number, STEP])
    elif answer == STORED:
        finished(s)
    else:
        filled(s, op, number, s.sent_RF[sent, ASKED_BY] == PREFETCHES)
