"""Memories and links: requests queue, one is served at a time, an urgent one interrupts.

The twin is `twin/server.py`. A queue is a chain of jobs: each knows the next.
"""

from accelerator_sim.compiled import compiled_part
from accelerator_sim.detailed.flat import IS_WRITE, PREFETCHES, Programs
from accelerator_sim.detailed.loop.events import Event, schedule
from accelerator_sim.detailed.loop.state import (
    ASKED_BY,
    BANKS,
    BURST_BYTES,
    BUSY_S,
    CHANNEL_RATE,
    CONFLICT_S,
    CURRENT,
    FAIR,
    FULL_PAGE,
    HEAD,
    LAST,
    LAST_BANK,
    LAST_PAGE,
    LAST_WRITE,
    LOST_S,
    NEXT,
    NEXT_REFRESH_S,
    NOW,
    RATE,
    REFRESH_INTERVAL_S,
    REFRESH_S,
    REQUEST,
    ROW_BYTES,
    SENT_AS,
    STARTED_S,
    TAIL,
    TIMER,
    TOTAL_S,
    TURNAROUND_S,
    WAITING,
    State,
)


@compiled_part
def submit(p: Programs, s: State, server: int, job: int) -> None:
    """Serve a job as soon as its turn comes."""
    current = s.server_VF[server, CURRENT]
    if current < 0:
        _start(p, s, server, job)
        return
    s.server_VF[server, WAITING] += 1
    requester = s.sent_RF[s.job_JF[job, SENT_AS], ASKED_BY]
    interrupted = s.sent_RF[s.job_JF[current, SENT_AS], ASKED_BY] == PREFETCHES
    if interrupted and requester != PREFETCHES:
        elapsed = s.value_F[NOW] - s.timing_VF[server, STARTED_S]
        s.timing_VF[server, BUSY_S] += elapsed
        if s.timing_VF[server, TOTAL_S] > 0.0:
            s.seconds_J[current] *= max(0.0, 1.0 - elapsed / s.timing_VF[server, TOTAL_S])
        # It goes on before all other prefetches.
        first = s.server_VF[server, HEAD + PREFETCHES]
        s.job_JF[current, NEXT] = first
        s.server_VF[server, HEAD + PREFETCHES] = current
        if first < 0:
            s.server_VF[server, TAIL + PREFETCHES] = current
        _start(p, s, server, job)
        return
    s.job_JF[job, NEXT] = -1
    if s.server_VF[server, HEAD + requester] < 0:
        s.server_VF[server, HEAD + requester] = job
    else:
        s.job_JF[s.server_VF[server, TAIL + requester], NEXT] = job
    s.server_VF[server, TAIL + requester] = job


@compiled_part
def finish(p: Programs, s: State, server: int, timer: int) -> int:
    """End the current job and start the next; the job that ended.

    -1 where the timer is that of a job that was interrupted in the meantime.
    """
    job = s.server_VF[server, CURRENT]
    if timer != s.server_VF[server, TIMER] or job < 0:
        return -1
    s.timing_VF[server, BUSY_S] += s.value_F[NOW] - s.timing_VF[server, STARTED_S]
    s.server_VF[server, CURRENT] = -1
    if s.server_VF[server, WAITING] > 0:
        s.server_VF[server, WAITING] -= 1
        _start(p, s, server, _next(s, server))
    return int(job)


@compiled_part
def _start(p: Programs, s: State, server: int, job: int) -> None:
    overhead = _overhead(p, s, server, job)
    s.timing_VF[server, LOST_S] += overhead
    total = s.seconds_J[job] + overhead
    s.timing_VF[server, TOTAL_S] = total
    s.server_VF[server, CURRENT] = job
    s.server_VF[server, LAST] = s.sent_RF[s.job_JF[job, SENT_AS], ASKED_BY]
    s.timing_VF[server, STARTED_S] = s.value_F[NOW]
    s.server_VF[server, TIMER] = schedule(s, total, Event.SERVED, server)


@compiled_part
def _next(s: State, server: int) -> int:
    """Take the job whose turn it is from its queue."""
    first = s.server_VF[server, LAST] + 1 if s.counter_F[FAIR] > 0 else 0
    requester = PREFETCHES
    for offset in range(PREFETCHES):
        candidate = (first + offset) % PREFETCHES
        if s.server_VF[server, HEAD + candidate] >= 0:
            requester = candidate
            break
    job = s.server_VF[server, HEAD + requester]
    s.server_VF[server, HEAD + requester] = s.job_JF[job, NEXT]
    return int(job)


@compiled_part
def _overhead(p: Programs, s: State, server: int, job: int) -> float:
    """Seconds lost to conflicts, turnarounds and refreshes while this job is served."""
    timing_VF, server_VF = s.timing_VF, s.server_VF
    seconds, sent = s.seconds_J[job], s.job_JF[job, SENT_AS]
    lost = 0.0
    conflict_s = timing_VF[server, CONFLICT_S]
    if conflict_s > 0.0:
        page = s.sent_RF[sent, FULL_PAGE]
        bank = page % int(timing_VF[server, BANKS])
        if bank == server_VF[server, LAST_BANK] and page != server_VF[server, LAST_PAGE]:
            lost += conflict_s
        server_VF[server, LAST_BANK] = bank
        server_VF[server, LAST_PAGE] = page
        if server_VF[server, WAITING] > 0:
            # Two streams through hashed banks meet in one of so many rows.
            rows = seconds * timing_VF[server, CHANNEL_RATE] / timing_VF[server, ROW_BYTES]
            lost += int(rows / timing_VF[server, BANKS]) * conflict_s
    if timing_VF[server, BURST_BYTES] > 1.0:
        # The last burst is moved whole.
        rate = timing_VF[server, RATE]
        lost += -(seconds * rate) % timing_VF[server, BURST_BYTES] / rate
    if timing_VF[server, TURNAROUND_S] > 0.0:
        is_write = p.row_XF[s.sent_RF[sent, REQUEST], IS_WRITE]
        if is_write != server_VF[server, LAST_WRITE]:
            lost += timing_VF[server, TURNAROUND_S]
            server_VF[server, LAST_WRITE] = is_write
    interval = timing_VF[server, REFRESH_INTERVAL_S]
    if interval > 0.0:
        now, next_refresh = s.value_F[NOW], s.timing_VF[server, NEXT_REFRESH_S]
        if next_refresh < now:
            # Refreshes that fell into idle time cost nothing.
            next_refresh += interval * (1 + int((now - next_refresh) / interval))
        end = now + seconds + lost
        if next_refresh < end:
            count = 1 + int((end - next_refresh) / interval)
            next_refresh += interval * count
            lost += timing_VF[server, REFRESH_S] * count
        s.timing_VF[server, NEXT_REFRESH_S] = next_refresh
    return float(lost)
