"""Programs as arrays: what the compiled loop reads.

All programs of a model share the tables, one behind the other; a placement is the row of a program
for each op. Axis letters: P programs, S their steps, R their requests, H hops of requests,
D transfers (descriptors of the DMA); F named columns.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.detailed.program import Program, Request

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

FIRST_STEP, STEPS, FIRST_TRANSFER, TRANSFERS, EARLY, REQUESTS, HOPS = range(7)
"""Columns of `program_PF`: where its rows begin and how many they are, in all tables."""

FIRST_LOAD, FIRST_STORE, END_STORE = range(3)
"""Columns of `step_SF`: its loads are requests, its stores are those behind them."""

MAC_S, VECTOR_S = range(2)
"""Columns of `unit_SF`."""

FIRST_HOP, END_HOP, OPERAND, PAGE, IS_WRITE = range(5)
"""Columns of `request_RF`."""

FILL, DRAIN, STEP = range(3)
"""Columns of `transfer_DF`: two requests, and the step of the program that needs it."""


class Programs(NamedTuple):
    """The tables; rows behind the last program's mean nothing."""

    program_PF: I64
    step_SF: I64
    unit_SF: F64
    request_RF: I64
    latency_R: F64
    server_H: I64
    seconds_H: F64
    transfer_DF: I64
    ring_bytes_D: F64


class _Growing:
    """A table that rows are added to; it doubles when it is full."""

    def __init__(self, dtype: type[np.generic], *columns: int) -> None:
        self.array: NDArray[Any] = np.zeros((64, *columns), dtype)
        self.count = 0

    def extend(self, rows: Sequence[object]) -> None:
        end = self.count + len(rows)
        if end > len(self.array):
            grown = np.zeros((max(end, 2 * len(self.array)), *self.array.shape[1:]),
                             self.array.dtype)  # fmt: skip
            grown[: self.count] = self.array[: self.count]
            self.array = grown
        if rows:
            self.array[self.count : end] = rows
        self.count = end


class ProgramTables:
    """Flattens programs, each once."""

    def __init__(self) -> None:
        self._programs = _Growing(np.int64, 7)
        self._steps = _Growing(np.int64, 3)
        self._units = _Growing(np.float64, 2)
        self._requests = _Growing(np.int64, 5)
        self._latencies = _Growing(np.float64)
        self._servers = _Growing(np.int64)
        self._seconds = _Growing(np.float64)
        self._transfers = _Growing(np.int64, 3)
        self._ring_bytes = _Growing(np.float64)
        self.arrays = self._arrays()

    def add(self, program: Program) -> int:
        """Append a program; its row. Arrays handed out before do not know it."""
        row = self._programs.count
        first_request, first_hop = self._requests.count, self._servers.count
        first_step, first_transfer = self._steps.count, self._transfers.count
        steps = []
        for loads, stores in zip(program.loads, program.stores, strict=True):
            first = self._add_requests(loads)
            behind = self._add_requests(stores)
            steps.append((first, behind, self._requests.count))
        self._steps.extend(steps)
        self._units.extend(list(zip(program.mac_s, program.vector_s, strict=True)))
        transfers = []
        for transfer in program.transfers:
            first = self._add_requests((transfer.fill, transfer.drain))
            transfers.append((first, first + 1, transfer.step))
        self._transfers.extend(transfers)
        self._ring_bytes.extend([transfer.ring_bytes for transfer in program.transfers])
        self._programs.extend(
            [(
                first_step, len(steps), first_transfer, len(transfers), program.early,
                self._requests.count - first_request, self._servers.count - first_hop,
            )]
        )  # fmt: skip
        self.arrays = self._arrays()
        return row

    def _add_requests(self, requests: Sequence[Request]) -> int:
        first = self._requests.count
        hop = self._servers.count
        rows = []
        for request in requests:
            end = hop + len(request.hops)
            rows.append((hop, end, request.operand, request.page, request.is_write))
            hop = end
        self._requests.extend(rows)
        self._latencies.extend([request.latency_s for request in requests])
        hops = [hop for request in requests for hop in request.hops]
        self._servers.extend([server for server, _ in hops])
        self._seconds.extend([seconds for _, seconds in hops])
        return first

    def _arrays(self) -> Programs:
        return Programs(
            self._programs.array, self._steps.array, self._units.array, self._requests.array,
            self._latencies.array, self._servers.array, self._seconds.array,
            self._transfers.array, self._ring_bytes.array,
        )  # fmt: skip
