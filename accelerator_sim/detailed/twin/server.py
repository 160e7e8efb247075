"""A memory or a link: requests queue, one is served at a time, an urgent one interrupts.

Interruption stands for arbitration between bursts: the rest of the interrupted request is served
later, at the cost of another conflict. The twin of `loop/servers.py`.
"""

from collections import deque
from collections.abc import Callable

import simpy

from accelerator_sim.detailed.parameters import MemoryTiming

LOADS, STORES, TRANSFERS, PREFETCHES = range(4)
"""Requesters. Prefetches are served only when nobody else waits."""


class Job:
    """A request at one server; `seconds` are those of the bytes that it still has to move."""

    __slots__ = ("done", "is_write", "page", "requester", "seconds")

    def __init__(
        self, seconds: float, requester: int, is_write: bool, page: int, done: Callable[[], None]
    ) -> None:
        self.seconds = seconds
        self.requester = requester
        self.is_write = is_write
        self.page = page
        self.done = done


class Server:
    """One memory, interconnect or port.

    Attributes:
        busy_s: time spent serving.
        lost_s: part of it that went to conflicts, turnarounds and refreshes.
    """

    __slots__ = (
        "_channel_rate", "_current", "_env", "_fair", "_last", "_last_bank", "_last_page",
        "_last_write",
        "_next_refresh", "_queues", "_rate", "_started", "_timer", "_timing", "_total", "_waiting",
        "busy_s", "lost_s",
    )  # fmt: skip

    def __init__(
        self, env: simpy.Environment, bytes_per_s: float, timing: MemoryTiming, fair: bool
    ) -> None:
        self._env = env
        self._rate = bytes_per_s
        self._channel_rate = min(bytes_per_s, timing.channel_bytes_per_s or bytes_per_s)
        self._timing = timing
        self._fair = fair
        self._queues: tuple[deque[Job], ...] = (deque(), deque(), deque(), deque())
        self._waiting = 0
        self._current: Job | None = None
        self._timer: simpy.Event | None = None
        self._started = 0.0
        self._total = 0.0
        self._last = 0
        self._last_write = False
        self._last_bank = -1
        self._last_page = -1
        self._next_refresh = timing.refresh_interval_s
        self.busy_s = 0.0
        self.lost_s = 0.0

    def submit(self, job: Job) -> None:
        """Serve a job as soon as its turn comes."""
        current = self._current
        if current is None:
            self._start(job)
            return
        self._waiting += 1
        if current.requester == PREFETCHES and job.requester != PREFETCHES:
            elapsed = self._env.now - self._started
            self.busy_s += elapsed
            if self._total > 0.0:
                current.seconds *= max(0.0, 1.0 - elapsed / self._total)
            self._queues[PREFETCHES].appendleft(current)
            self._start(job)
        else:
            self._queues[job.requester].append(job)

    def _start(self, job: Job) -> None:
        overhead = self._overhead(job)
        self.lost_s += overhead
        self._total = job.seconds + overhead
        self._current = job
        self._last = job.requester
        self._started = self._env.now
        timer = simpy.Timeout(self._env, self._total)
        assert timer.callbacks is not None  # It has not happened yet.
        timer.callbacks.append(self._finish)
        self._timer = timer

    def _finish(self, timer: simpy.Event) -> None:
        job = self._current
        if timer is not self._timer or job is None:
            return  # Interrupted in the meantime.
        self.busy_s += self._env.now - self._started
        self._current = None
        if self._waiting:
            self._waiting -= 1
            self._start(self._next())
        job.done()

    def _next(self) -> Job:
        queues = self._queues
        first = self._last + 1 if self._fair else 0
        for offset in range(PREFETCHES):
            queue = queues[(first + offset) % PREFETCHES]
            if queue:
                return queue.popleft()
        return queues[PREFETCHES].popleft()

    def _overhead(self, job: Job) -> float:
        """Seconds lost to conflicts, turnarounds and refreshes while this job is served."""
        timing = self._timing
        lost = 0.0
        conflict_s = timing.conflict_s + timing.conflict_bursts * timing.burst_bytes / self._rate
        if conflict_s > 0.0:
            bank = job.page % timing.banks
            if bank == self._last_bank and job.page != self._last_page:
                lost += conflict_s
            self._last_bank, self._last_page = bank, job.page
            if self._waiting:
                # Two streams through hashed banks meet in one of so many rows.
                rows = job.seconds * self._channel_rate / timing.row_bytes
                lost += int(rows / timing.banks) * conflict_s
        if timing.burst_bytes > 1:
            # The last burst is moved whole.
            lost += -(job.seconds * self._rate) % timing.burst_bytes / self._rate
        if timing.turnaround_s > 0.0 and job.is_write is not self._last_write:
            lost += timing.turnaround_s
            self._last_write = job.is_write
        if timing.refresh_interval_s > 0.0:
            now, interval = self._env.now, timing.refresh_interval_s
            if self._next_refresh < now:
                # Refreshes that fell into idle time cost nothing.
                self._next_refresh += interval * (1 + int((now - self._next_refresh) / interval))
            end = now + job.seconds + lost
            if self._next_refresh < end:
                count = 1 + int((end - self._next_refresh) / interval)
                self._next_refresh += interval * count
                lost += timing.refresh_s * count
        return lost
