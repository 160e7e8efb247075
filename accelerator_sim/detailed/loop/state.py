"""The values of a simulation: constants of the hardware, and everything that changes.

Related columns share an array, since compiled functions are handed every array by itself and take
long to compile where there are many. Axis letters: N ops, E operands of all ops, V servers,
Q events to come, R requests sent, J jobs (hops of requests sent), S steps of the running op,
D transfers of all ops; F named columns.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.detailed.flat import (
    HOP_COUNT,
    REQUEST_COUNT,
    STEP_COUNT,
    TRANSFER_COUNT,
    Programs,
)
from accelerator_sim.detailed.hardware import Hardware

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

LAUNCH_S, BARRIER_S, SLICE_BYTES, NOW, VECTOR_FREE, ROOM, WINDOW = range(7)
"""Places in `value_F`: what stays, as in `Hardware`; the time, when the vector unit is free, free
bytes of the ring for prefetches and for the running op."""

(
    TILE_SLOTS, PREFETCH_OPS, DMA_DEPTH, FAIR,
    EVENTS, ORDER, SENT, JOBS,
    RUNNING, MACHINE_STATE,
    FREED, UNFINISHED, READY_WAITED, SLOT_WAITERS,
    LOAD_STEP, DRAIN_STEP, DRAIN_NUMBER, ARRIVAL_WAITED, COMPUTE_STEP, COMPUTE_STATE,
    IN_FLIGHT, PREFETCH_OP, PREFETCH_NUMBER, PREFETCH_WAITED, SERVE_NUMBER, SERVE_WAITED,
    MISSING,
) = range(27)  # fmt: skip
"""Places in `counter_F`: what stays, as in `Hardware`; events to come and scheduled so far,
requests and jobs so far; the machine; the tiles of the running op; who loads, drains and computes
them; the DMA engine. `_WAITED` is 1 while somebody waits for it. From `MISSING` on: of each step of
the running op, how much it waits for."""

QUEUE_ORDER, KIND, ARGUMENT = range(3)
"""Columns of `queue_QF`."""

CURRENT, WAITING, LAST, LAST_WRITE, LAST_BANK, LAST_PAGE, TIMER = range(7)
"""Columns of `server_VF`, -1 for nothing; the first and last job of each requester's queue follow.
`TIMER` is the order of the event that ends the current job."""

HEAD, TAIL = 7, 11
"""Columns of `server_VF` where the queues' first and last jobs begin."""

(
    RATE, CHANNEL_RATE, CONFLICT_S, BANKS, ROW_BYTES, BURST_BYTES, TURNAROUND_S,
    REFRESH_INTERVAL_S, REFRESH_S,
    NEXT_REFRESH_S, STARTED_S, TOTAL_S, BUSY_S, LOST_S,
) = range(14)  # fmt: skip
"""Columns of `timing_VF`: what stays, as in `MemoryTiming`, conflicts in seconds; the current job's
beginning and length; the sums of `DetailedResult`."""

REMAINING, REQUEST, ASKED_BY, OP, NUMBER, FULL_PAGE = range(6)
"""Columns of `sent_RF`: jobs not yet done, row of the program tables, requester, op and which of
its steps or transfers, page."""

SENT_AS, NEXT = range(2)
"""Columns of `job_JF`: its request; the next job of its queue, -1 for none."""

PROGRAM, FIRST_PAGE, ISSUED, ISSUED_EARLY, FIRST_ARRIVAL = range(5)
"""Columns of `op_NF`: its program; its row of `page_E`; transfers sent in all and before it began;
its row of `arrived_D`."""

FEW = 32
"""More than all events that are neither timers of jobs or requests nor stores of tiles."""


class State(NamedTuple):
    """One inference."""

    value_F: F64
    counter_F: I64
    time_Q: F64
    queue_QF: I64
    server_VF: I64
    timing_VF: F64
    sent_RF: I64
    job_JF: I64
    seconds_J: F64
    op_NF: I64
    page_E: I64
    arrived_D: NDArray[np.bool_]
    op_end_N: F64


def initial_timing(hardware: Hardware) -> F64:
    """`timing_VF` before anything happened."""
    rows = []
    for rate, timing in zip(hardware.bytes_per_s, hardware.timings, strict=True):
        conflict_s = timing.conflict_s + timing.conflict_bursts * timing.burst_bytes / rate
        rows.append(
            (
                rate, min(rate, timing.channel_bytes_per_s or rate), conflict_s,
                timing.banks, timing.row_bytes, timing.burst_bytes, timing.turnaround_s,
                timing.refresh_interval_s, timing.refresh_s,
                timing.refresh_interval_s, 0.0, 0.0, 0.0, 0.0,
            )
        )  # fmt: skip
    return np.array(rows, np.float64)


def new_state(
    hardware: Hardware, timing_VF: F64, programs: Programs, program_N: I64, page_E: I64,
    first_page_N: I64,
) -> State:  # fmt: skip
    """The state before anything happened.

    Every step, request, hop and transfer of an op comes once, so their sums bound the tables. An
    interrupted job leaves a timer behind: at most one for each job that interrupts.

    Args:
        hardware: the constants.
        timing_VF: see `initial_timing`.
        programs: all of them.
        program_N: the row of each op's program.
        page_E: first page of each operand's tensor, of all ops.
        first_page_N: where those of each op begin.
    """
    of_ops = programs.row_XF[program_N]
    counts = of_ops.sum(axis=0)
    requests, hops = counts[REQUEST_COUNT], counts[HOP_COUNT]
    op_NF = np.zeros((len(program_N), 5), np.int64)
    op_NF[:, PROGRAM] = program_N
    op_NF[:, FIRST_PAGE] = first_page_N
    op_NF[1:, FIRST_ARRIVAL] = np.cumsum(of_ops[:-1, TRANSFER_COUNT])
    server_VF = np.full((len(timing_VF), 15), -1, np.int64)
    server_VF[:, [WAITING, LAST, LAST_WRITE]] = 0
    counter_F = np.zeros(MISSING + of_ops[:, STEP_COUNT].max(initial=0), np.int64)
    counter_F[TILE_SLOTS] = hardware.tile_slots
    counter_F[PREFETCH_OPS] = hardware.prefetch_ops
    counter_F[DMA_DEPTH] = hardware.dma_depth
    counter_F[FAIR] = hardware.fair
    counter_F[RUNNING] = -1
    slices = 2 * hardware.slice_bytes
    room = max(0.0, hardware.ring_bytes - slices)
    events = 2 * hops + requests + counts[STEP_COUNT] + FEW
    return State(
        value_F=np.array(
            [hardware.launch_s, hardware.barrier_s, hardware.slice_bytes, 0.0, 0.0, room, slices]
        ),
        counter_F=counter_F,
        time_Q=np.empty(events),
        queue_QF=np.empty((events, 3), np.int64),
        server_VF=server_VF,
        timing_VF=timing_VF.copy(),
        sent_RF=np.empty((requests, 6), np.int64),
        job_JF=np.empty((hops, 2), np.int64),
        seconds_J=np.empty(hops),
        op_NF=op_NF,
        page_E=page_E,
        arrived_D=np.zeros(counts[TRANSFER_COUNT], np.bool_),
        op_end_N=np.zeros(len(program_N)),
    )
