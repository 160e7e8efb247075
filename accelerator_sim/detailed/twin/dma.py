"""The DMA engine: weights and states of outer tiers arrive through the staging ring.

Two slices of the ring serve the running op, in its order of use. The rest belongs to prefetches:
a queue of descriptors, first in, first out, at most `prefetch_ops` ahead of the running op. What a
prefetch did not bring in before its op began is read while the op runs. The twin of `loop/dma.py`.
"""

from collections.abc import Callable, Generator, Sequence

import simpy

from accelerator_sim.detailed.program import Program, Request, Transfer
from accelerator_sim.detailed.twin.server import PREFETCHES, TRANSFERS

Issue = Callable[[int, Request, int, Callable[[], None]], None]
"""Send a request of an op on its way: op, request, requester, what to do when it has arrived."""

EPSILON_BYTES = 1e-6


class Dma:
    """State of the engine during one inference."""

    def __init__(
        self,
        env: simpy.Environment,
        programs: Sequence[Program],
        issue: Issue,
        slice_bytes: float,
        ring_bytes: float,
        prefetch_ops: int,
        depth: int,
    ) -> None:
        self._env = env
        self._programs = programs
        self._issue = issue
        self._slice_bytes = slice_bytes
        self._room = max(0.0, ring_bytes - 2 * slice_bytes)
        self._window = 2 * slice_bytes
        self._prefetch_ops = prefetch_ops
        self._depth = depth
        self._in_flight = 0
        self._running = -1
        self._issued = [0] * len(programs)
        self._early = [0] * len(programs)
        self._arrived: list[bytearray] = [bytearray(len(p.transfers)) for p in programs]
        self._prefetcher: simpy.Event | None = None
        self._server: simpy.Event | None = None
        self._core: simpy.Event | None = None
        if any(program.early for program in programs):
            env.process(self._prefetch())

    def begin(self, op: int) -> None:
        """An op begins: what it needs and has not been asked for is asked for now."""
        self._running = op
        self._early[op] = self._issued[op]
        if self._issued[op] < len(self._programs[op].transfers):
            self._env.process(self._serve(op))
        self._wake_prefetcher()

    def arrival(self, op: int, number: int) -> simpy.Event | None:
        """An event that a core can wait for until a transfer arrives; None where it is there."""
        if self._arrived[op][number]:
            return None
        self._core = simpy.Event(self._env)
        return self._core

    def release(self, op: int, number: int) -> None:
        """A core has read what a transfer brought in."""
        size = self._programs[op].transfers[number].ring_bytes
        if number < self._early[op]:
            self._room += size
            self._wake_prefetcher()
        else:
            self._window += min(size, self._slice_bytes)
            if self._server is not None:
                event, self._server = self._server, None
                event.succeed()

    def _prefetch(self) -> Generator[simpy.Event, None, None]:
        for op, program in enumerate(self._programs):
            if program.early == 0:
                continue
            number = 0
            while number < program.early and self._running < op:
                transfer = program.transfers[number]
                if (
                    op > self._running + self._prefetch_ops
                    or self._in_flight >= self._depth
                    or self._room < transfer.ring_bytes - EPSILON_BYTES
                ):
                    self._prefetcher = simpy.Event(self._env)
                    yield self._prefetcher
                    continue
                self._room -= transfer.ring_bytes
                self._in_flight += 1
                self._send(op, number, transfer, PREFETCHES)
                number += 1

    def _serve(self, op: int) -> Generator[simpy.Event, None, None]:
        transfers = self._programs[op].transfers
        for number in range(self._issued[op], len(transfers)):
            transfer = transfers[number]
            needed = min(transfer.ring_bytes, self._slice_bytes)
            while self._window < needed - EPSILON_BYTES:
                self._server = simpy.Event(self._env)
                yield self._server
            self._window -= needed
            self._send(op, number, transfer, TRANSFERS)

    def _send(self, op: int, number: int, transfer: Transfer, requester: int) -> None:
        self._issued[op] = number + 1

        def arrived() -> None:
            self._arrived[op][number] = 1
            if requester == PREFETCHES:
                self._in_flight -= 1
                self._wake_prefetcher()
            if self._core is not None and op == self._running:
                event, self._core = self._core, None
                event.succeed()

        self._issue(op, transfer.fill, requester, arrived)

    def _wake_prefetcher(self) -> None:
        if self._prefetcher is not None:
            event, self._prefetcher = self._prefetcher, None
            event.succeed()
