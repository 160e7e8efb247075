"""A memory that is only as fast as it is told to be.

Bytes are really copied, slice by slice; after each slice the copying thread waits until the slice
is due at the memory's rate. The memory has a clock of its own: a thread that the operating system
woke late does not make it slower, as long as there was work for it; one that was idle has saved
nothing.
"""

import threading
import time
from collections.abc import Callable
from typing import Literal

Direction = Literal["read", "write"]

AHEAD_S = 100e-6
"""A thread that is less ahead of its rate than this goes on; it waits with the last slice."""

SPIN_S = 120e-6
"""Sleeping is not more exact than this; the rest is waited for awake."""


class RateLimiter:
    """One memory: one transfer at a time, those of the running op before those of the DMA.

    Attributes:
        moved_bytes: so far.
    """

    def __init__(self, read_bytes_per_s: float, write_bytes_per_s: float) -> None:
        """Make an idle memory.

        Args:
            read_bytes_per_s: of reads.
            write_bytes_per_s: of writes; both share the memory's time.
        """
        self._rate: dict[Direction, float] = {
            "read": read_bytes_per_s,
            "write": write_bytes_per_s,
        }
        self._lock = threading.Condition()
        self._busy = False
        self._urgent = 0
        self._free_at_s = 0.0
        self.moved_bytes = 0

    def announce(self, count: int) -> None:
        """The running op will make this many transfers: the DMA steps back until they are done.

        Args:
            count: negative to withdraw some that will not come.
        """
        with self._lock:
            self._urgent += count
            self._lock.notify_all()

    def transfer(
        self,
        copy: Callable[[], None],
        size_bytes: int,
        direction: Direction,
        *,
        urgent: bool,
        since_s: float | None = None,
        last: bool = True,
    ) -> float:
        """Copy a slice in the time that it takes at the memory's rate.

        Args:
            copy: moves the bytes; should release the interpreter's lock.
            size_bytes: of the slice.
            direction: which rate holds.
            urgent: True for a transfer that was announced.
            since_s: moment from which the memory could have worked on it, where that is before
                now (`time.perf_counter`).
            last: False where the same thread goes on at once: then it need not be waited for
                exactly.

        Returns:
            The moment at which the memory was done with it; never later than now but by what a
            transfer that is not the last may be ahead.
        """
        self._take(urgent)
        try:
            begin_s = time.perf_counter() if since_s is None else since_s
            due_s = max(self._free_at_s, begin_s) + size_bytes / self._rate[direction]
            self._free_at_s = due_s
            copy()
            self.moved_bytes += size_bytes
            if last or due_s - time.perf_counter() > AHEAD_S:
                wait_until(due_s)
        finally:
            self._give_back(urgent)
        return due_s

    def _take(self, urgent: bool) -> None:
        with self._lock:
            while self._busy or (self._urgent > 0 and not urgent):
                self._lock.wait()
            self._busy = True

    def _give_back(self, urgent: bool) -> None:
        with self._lock:
            self._busy = False
            if urgent:
                self._urgent -= 1
            self._lock.notify_all()


def wait_until(moment_s: float) -> None:
    """Return at a moment of `time.perf_counter`, or at once where it has passed."""
    while True:
        left_s = moment_s - time.perf_counter()
        if left_s <= 0.0:
            return
        # Sleeping no time still lets other threads run.
        time.sleep(max(0.0, left_s - SPIN_S))
