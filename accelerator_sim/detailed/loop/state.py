"""The values of a simulation: constants of the hardware, and everything that changes.

Related columns share an array, since compiled functions are handed every array by itself and take
long to compile where there are many. Axis letters: N ops, E operands of all ops, V servers,
Q events to come, R requests sent, J jobs (hops of requests sent), S steps of the running op,
D transfers of all ops; F named columns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.detailed.flat import HOPS, REQUESTS, STEPS, TRANSFERS, Programs
from accelerator_sim.detailed.hardware import Hardware

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

LAUNCH_S, BARRIER_S, SLICE_BYTES, PREFETCH_BYTES = range(4)
"""Places in `constant_F`."""

TILE_SLOTS, PREFETCH_OPS, DMA_DEPTH, FAIR = range(4)
"""Places in `limit_F`."""

(
    RATE, CHANNEL_RATE, CONFLICT_S, BANKS, ROW_BYTES, BURST_BYTES, TURNAROUND_S,
    REFRESH_INTERVAL_S, REFRESH_S,
) = range(9)  # fmt: skip
"""Columns of `timing_VF`."""

NOW, VECTOR_FREE, ROOM, WINDOW = range(4)
"""Places in `clock_F`: the time, when the vector unit is free, free bytes of the ring for
prefetches and for the running op."""

(
    EVENTS, ORDER, SENT, JOBS,
    RUNNING, MACHINE_STATE,
    FREED, UNFINISHED, READY_WAITED, SLOT_WAITERS,
    LOAD_STEP, DRAIN_STEP, DRAIN_NUMBER, ARRIVAL_WAITED, COMPUTE_STEP, COMPUTE_STATE,
    IN_FLIGHT, PREFETCH_OP, PREFETCH_NUMBER, PREFETCH_WAITED, SERVE_NUMBER, SERVE_WAITED,
) = range(22)  # fmt: skip
"""Places in `counter_F`: events to come and scheduled so far, requests and jobs so far; the machine;
the tiles of the running op; who loads, drains and computes them; the DMA engine. `_WAITED` is 1
while somebody waits for it."""

QUEUE_ORDER, KIND, ARGUMENT = range(3)
"""Columns of `queue_QF`."""

CURRENT, WAITING, LAST, LAST_WRITE, LAST_BANK, LAST_PAGE, TIMER = range(7)
"""Columns of `server_VF`, -1 for nothing; the first and last job of each requester's queue follow.
`TIMER` is the order of the event that ends the current job."""

HEAD, TAIL = 7, 11
"""Columns of `server_VF` where the queues' first and last jobs begin."""

STARTED_S, TOTAL_S, NEXT_REFRESH_S, BUSY_S, LOST_S = range(5)
"""Columns of `clock_VF`."""

REMAINING, REQUEST, REQUESTER, ANSWER, OP, NUMBER, FULL_PAGE = range(7)
"""Columns of `sent_RF`: jobs not yet done, row of the program tables, who asked, what to do when
all is done, for which op and which of its steps or transfers; and the page."""

SENT_AS, NEXT = range(2)
"""Columns of `job_JF`: its request; the next job of its queue, -1 for none."""

PROGRAM, FIRST_PAGE, ISSUED, ISSUED_EARLY, FIRST_ARRIVAL = range(5)
"""Columns of `op_NF`: its program; its row of `page_E`; transfers sent in all and before it began;
its row of `arrived_D`."""

FEW = 32
"""More than all events that are neither timers of jobs or requests nor stores of tiles."""


class Constants(NamedTuple):
    """The hardware."""

    constant_F: F64
    limit_F: I64
    timing_VF: F64


class State(NamedTuple):
    """One inference."""

    clock_F: F64
    counter_F: I64
    time_Q: F64
    queue_QF: I64
    server_VF: I64
    clock_VF: F64
    sent_RF: I64
    job_JF: I64
    seconds_J: F64
    missing_S: I64
    op_NF: I64
    page_E: I64
    arrived_D: NDArray[np.bool_]
    op_end_N: F64


def constants_of(hardware: Hardware) -> Constants:
    """The hardware as arrays."""
    h = hardware
    rows = []
    for rate, timing in zip(h.bytes_per_s, h.timings, strict=True):
        rows.append(
            (
                rate, min(rate, timing.channel_bytes_per_s or rate),
                timing.conflict_s + timing.conflict_bursts * timing.burst_bytes / rate,
                timing.banks, timing.row_bytes, timing.burst_bytes, timing.turnaround_s,
                timing.refresh_interval_s, timing.refresh_s,
            )
        )  # fmt: skip
    prefetch_bytes = max(0.0, h.ring_bytes - 2 * h.slice_bytes)
    return Constants(
        np.array([h.launch_s, h.barrier_s, h.slice_bytes, prefetch_bytes]),
        np.array([h.tile_slots, h.prefetch_ops, h.dma_depth, h.fair], np.int64),
        np.array(rows, np.float64).reshape(-1, 9),
    )


def new_state(
    constants: Constants, programs: Programs, program_N: Sequence[int], page_E: I64,
    first_page_N: I64,
) -> State:  # fmt: skip
    """The state before anything happened.

    Every step, request, hop and transfer of an op comes once, so their sums bound the tables. An
    interrupted job leaves a timer behind: at most one for each job that interrupts.

    Args:
        constants: of the hardware.
        programs: all of them.
        program_N: the row of each op's program.
        page_E: first page of each operand's tensor, of all ops.
        first_page_N: where those of each op begin.
    """
    of_ops = programs.program_PF[program_N]
    counts = of_ops.sum(axis=0)
    requests, hops = counts[REQUESTS], counts[HOPS]
    op_NF = np.zeros((len(program_N), 5), np.int64)
    op_NF[:, PROGRAM] = program_N
    op_NF[:, FIRST_PAGE] = first_page_N
    op_NF[1:, FIRST_ARRIVAL] = np.cumsum(of_ops[:-1, TRANSFERS])
    servers = len(constants.timing_VF)
    server_VF = np.full((servers, 15), -1, np.int64)
    server_VF[:, [WAITING, LAST, LAST_WRITE]] = 0
    clock_VF = np.zeros((servers, 5))
    clock_VF[:, NEXT_REFRESH_S] = constants.timing_VF[:, REFRESH_INTERVAL_S]
    clock_F = np.zeros(4)
    clock_F[ROOM] = constants.constant_F[PREFETCH_BYTES]
    clock_F[WINDOW] = 2 * constants.constant_F[SLICE_BYTES]
    counter_F = np.zeros(22, np.int64)
    counter_F[RUNNING] = -1
    events = 2 * hops + requests + counts[STEPS] + FEW
    return State(
        clock_F=clock_F,
        counter_F=counter_F,
        time_Q=np.empty(events),
        queue_QF=np.empty((events, 3), np.int64),
        server_VF=server_VF,
        clock_VF=clock_VF,
        sent_RF=np.empty((requests, 7), np.int64),
        job_JF=np.empty((hops, 2), np.int64),
        seconds_J=np.empty(hops),
        missing_S=np.zeros(of_ops[:, STEPS].max(initial=0), np.int64),
        op_NF=op_NF,
        page_E=page_E,
        arrived_D=np.zeros(counts[TRANSFERS], np.bool_),
        op_end_N=np.zeros(len(program_N)),
    )
