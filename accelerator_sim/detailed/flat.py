"""Programs as arrays: what the compiled loop reads.

All programs of a model share two tables, one behind the other; a placement is a row for each op.
Compiled functions are handed every array by itself, so a row may be a program, a step, a transfer,
a request or a hop of one: the columns of each are named below. Axis letters: X rows; F named
columns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.detailed.program import Program, Request

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

FIRST_STEP, STEP_COUNT, FIRST_TRANSFER, TRANSFER_COUNT, EARLY, REQUEST_COUNT, HOP_COUNT = range(7)
"""Integers of a program: its rows and how many they are; `EARLY` as in `Program`."""

FIRST_LOAD, FIRST_STORE, END_STORE = range(3)
"""Integers of a step: rows of its loads, and of its stores behind them."""

FILL, DRAIN, STEP = range(3)
"""Integers of a transfer: rows of two requests, and the number of the step that needs it."""

FIRST_HOP, END_HOP, OPERAND, PAGE, IS_WRITE, REQUESTER, ANSWER = range(7)
"""Integers of a request: rows of its hops, as in `Request`, who asks, what its answer means."""

SERVER = 0
"""Integer of a hop."""

MAC_S, VECTOR_S = range(2)
"""Values of a step."""

RING_BYTES = LATENCY_S = SECONDS = 0
"""The values of a transfer, a request and a hop."""


LOADS, STORES, TRANSFERS, PREFETCHES = range(4)
"""Requesters. A transfer for an op to come is a prefetch."""

LOADED, STORED, FILLED, DRAINED = range(4)
"""Answers."""


class Programs(NamedTuple):
    """The tables; rows behind the last program's mean nothing."""

    row_XF: I64
    value_XF: F64


class ProgramTables:
    """Flattens programs, each once.

    Attributes:
        arrays: all programs so far.
    """

    def __init__(self) -> None:
        self.arrays = Programs(np.zeros((1024, 7), np.int64), np.zeros((1024, 2)))
        self._count = 0

    def add(self, program: Program) -> int:
        """Append a program; its row. `arrays` that were read before may lack it."""
        requests: list[tuple[Request, int, int]] = []
        for loads, stores in zip(program.loads, program.stores, strict=True):
            requests += [(request, LOADS, LOADED) for request in loads]
            requests += [(request, STORES, STORED) for request in stores]
        for transfer in program.transfers:
            requests.append((transfer.fill, TRANSFERS, FILLED))
            requests.append((transfer.drain, LOADS, DRAINED))
        hops = [hop for request, _, _ in requests for hop in request.hops]
        row = self._count
        first_step = row + 1
        first_transfer = first_step + len(program.mac_s)
        request = first_transfer + len(program.transfers)
        hop = request + len(requests)
        self._reserve(hop + len(hops))
        sizes = (program.early, len(requests), len(hops))
        self._append(
            [(first_step, len(program.mac_s), first_transfer, len(program.transfers), *sizes)], [0]
        )
        steps = []
        for loads, stores in zip(program.loads, program.stores, strict=True):
            store = request + len(loads)
            steps.append((request, store, store + len(stores)))
            request = store + len(stores)
        self._append(steps, np.column_stack([program.mac_s, program.vector_s]))
        transfers = []
        for transfer in program.transfers:
            transfers.append((request, request + 1, transfer.step))
            request += 2
        self._append(transfers, [transfer.ring_bytes for transfer in program.transfers])
        rows = []
        for sent, requester, answer in requests:
            end = hop + len(sent.hops)
            rows.append((hop, end, sent.operand, sent.page, sent.is_write, requester, answer))
            hop = end
        self._append(rows, [sent.latency_s for sent, _, _ in requests])
        self._append([(server,) for server, _ in hops], [seconds for _, seconds in hops])
        return row

    def _append(self, rows: Sequence[tuple[int, ...]], values: Sequence[float] | F64) -> None:
        """Rows of one kind; `values` are one or, in two dimensions, several for each of them."""
        if not rows:
            return
        end = self._count + len(rows)
        value_XF = np.asarray(values, np.float64).reshape(len(rows), -1)
        self.arrays.row_XF[self._count : end, : len(rows[0])] = rows
        self.arrays.value_XF[self._count : end, : value_XF.shape[1]] = value_XF
        self._count = end

    def _reserve(self, count: int) -> None:
        """Make the tables at least so long, and twice as long as before if that is not enough."""
        length = len(self.arrays.row_XF)
        if count <= length:
            return
        spare = max(count, 2 * length) - length
        self.arrays = Programs(
            *(np.concatenate([a, np.zeros((spare, a.shape[1]), a.dtype)]) for a in self.arrays)
        )
