"""Requests on their way: to all their servers at once, answered when the slowest has."""

from accelerator_sim.compiled import compiled
from accelerator_sim.detailed.flat import (
    END_HOP,
    FIRST_HOP,
    FIRST_TRANSFER,
    OPERAND,
    PAGE,
    STEP,
    Programs,
)
from accelerator_sim.detailed.loop.events import ANSWERED, schedule
from accelerator_sim.detailed.loop.servers import submit
from accelerator_sim.detailed.loop.signals import arrived, filled, finished, released
from accelerator_sim.detailed.loop.state import (
    ANSWER,
    FIRST_PAGE,
    FULL_PAGE,
    JOBS,
    NUMBER,
    OP,
    PROGRAM,
    REMAINING,
    REQUEST,
    REQUESTER,
    SENT,
    SENT_AS,
    Constants,
    State,
)

LOADED, DRAINED, STORED, TRANSFERRED, PREFETCHED = range(5)
"""What an answer means."""


@compiled
def issue(
    c: Constants, p: Programs, s: State,
    op: int, request: int, requester: int, answer: int, number: int,
) -> None:  # fmt: skip
    """Send a request.

    Args:
        c: the hardware.
        p: all programs.
        s: of the simulation.
        op: that it belongs to.
        request: its row in the program tables.
        requester: who asks the servers.
        answer: what to do when it has been served.
        number: the step (`LOADED`) or transfer that it belongs to.
    """
    sent = s.counter_F[SENT]
    s.counter_F[SENT] = sent + 1
    first, end = p.request_RF[request, FIRST_HOP], p.request_RF[request, END_HOP]
    first_page = s.page_E[s.op_NF[op, FIRST_PAGE] + p.request_RF[request, OPERAND]]
    s.sent_RF[sent, REMAINING] = end - first
    s.sent_RF[sent, REQUEST] = request
    s.sent_RF[sent, REQUESTER] = requester
    s.sent_RF[sent, ANSWER] = answer
    s.sent_RF[sent, OP] = op
    s.sent_RF[sent, NUMBER] = number
    s.sent_RF[sent, FULL_PAGE] = first_page + p.request_RF[request, PAGE]
    if first == end:
        served(c, p, s, sent)
        return
    for hop in range(first, end):
        job = s.counter_F[JOBS]
        s.counter_F[JOBS] = job + 1
        s.job_JF[job, SENT_AS] = sent
        s.seconds_J[job] = p.seconds_H[hop]
        submit(c, p, s, p.server_H[hop], job)


@compiled
def served(c: Constants, p: Programs, s: State, sent: int) -> None:
    """One of a request's servers is done; after the last one its latency passes."""
    s.sent_RF[sent, REMAINING] -= 1
    if s.sent_RF[sent, REMAINING] > 0:
        return
    latency_s = p.latency_R[s.sent_RF[sent, REQUEST]]
    if latency_s > 0.0:
        schedule(s, latency_s, ANSWERED, sent)
    else:
        answered(c, p, s, sent)


@compiled
def answered(c: Constants, p: Programs, s: State, sent: int) -> None:
    """A request's last byte has arrived."""
    answer = s.sent_RF[sent, ANSWER]
    op, number = s.sent_RF[sent, OP], s.sent_RF[sent, NUMBER]
    if answer == LOADED:
        arrived(s, number)
    elif answer == DRAINED:
        released(c, p, s, op, number)
        first = p.program_PF[s.op_NF[op, PROGRAM], FIRST_TRANSFER]
        arrived(s, p.transfer_DF[first + number, STEP])
    elif answer == STORED:
        finished(s)
    else:
        filled(s, op, number, answer == PREFETCHED)
