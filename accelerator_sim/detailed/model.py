"""The detailed model of a workload on an accelerator, and what it answers for a placement."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed.flat import ProgramTables
from accelerator_sim.detailed.loop.run import run
from accelerator_sim.detailed.loop.state import (
    BUSY_S,
    LOST_S,
    NOW,
    State,
    initial_timing,
    new_state,
)
from accelerator_sim.detailed.parameters import DetailedParameters
from accelerator_sim.detailed.workload_compiler import WorkloadCompiler
from graph_ir.errors import InputError
from graph_ir.workload import Workload

DEFAULTS = DetailedParameters()


@dataclass(frozen=True, slots=True)
class DetailedResult:
    """What one simulated inference gave.

    Attributes:
        latency_s: of the inference.
        op_end_s: when each op ended.
        busy_s: by server (tiers, interconnect, port, write ports): time spent serving.
        lost_s: likewise, the part that went to conflicts, turnarounds and refreshes.
    """

    latency_s: float
    op_end_s: tuple[float, ...]
    busy_s: tuple[float, ...]
    lost_s: tuple[float, ...]


class DetailedModel:
    """Keeps the programs of ops that it has met, so that the next placement is faster."""

    def __init__(
        self,
        workload: Workload,
        accelerator: Accelerator,
        parameters: DetailedParameters = DEFAULTS,
        addresses: Sequence[int] | None = None,
    ) -> None:
        """Prepare.

        Args:
            workload: ops and tensors.
            accelerator: the target.
            parameters: of the model.
            addresses: first byte of each tensor, where a plan gives them; hashed from the seed
                and the tensors' names where None.

        Raises:
            InputError: the number of addresses is not that of the tensors.
        """
        self._compiler = WorkloadCompiler(workload, accelerator, parameters, addresses)
        self._tensors = workload.tensors
        self._tiers = accelerator.tiers
        self._timing_VF = initial_timing(self._compiler.hardware)
        tensors_of_op = self._compiler.tensors_of_op
        self._tensor_E = np.array([t for tensors in tensors_of_op for t in tensors], np.int64)
        pages_of_op = self._compiler.pages_of_op
        self._page_E = np.array([p for pages in pages_of_op for p in pages], np.int64)
        ends = np.cumsum([0] + [len(tensors) for tensors in tensors_of_op])
        self._first_row_N = ends[:-1]
        self._tables = ProgramTables()
        # Homes that were met, by number; and, for each shape of ops, its programs by the bytes of
        # its operands' numbers.
        self._homes: dict[Home, int] = {}
        self._programs: dict[int, dict[bytes, int]] = {}
        size = np.dtype(np.uint16).itemsize
        self._lookups = [
            (self._programs.setdefault(shape, {}), size * int(first), size * int(end))
            for shape, first, end in zip(
                self._compiler.shape_of_op, ends[:-1], ends[1:], strict=True
            )
        ]

    def simulate(self, homes: Sequence[Home]) -> DetailedResult:
        """One inference.

        Args:
            homes: one for each tensor. Capacity is not checked.

        Raises:
            InputError: the number of homes is not that of the tensors, one is of no tier, or the
                target has no rate for what an op computes.
        """
        if len(homes) != len(self._tensors):
            raise InputError(
                f"homes: expected one for each of {len(self._tensors)} tensors, got {len(homes)}"
            )
        numbers = [self._number(home, index) for index, home in enumerate(homes)]
        state = self._run(np.array(numbers, np.uint16))
        return DetailedResult(
            float(state.value_F[NOW]),
            tuple(state.op_end_N.tolist()),
            tuple(state.timing_VF[:, BUSY_S].tolist()),
            tuple(state.timing_VF[:, LOST_S].tolist()),
        )

    def latencies(self, homes_H: Sequence[Home], homes_PT: NDArray[np.int8]) -> NDArray[np.float64]:
        """Latencies of many placements, in seconds.

        Args:
            homes_H: that the placements choose from.
            homes_PT: for each placement and tensor, which of them.

        Raises:
            InputError: see `simulate`.
        """
        if homes_PT.shape[1] != len(self._tensors):
            raise InputError(
                f"homes: expected one for each of {len(self._tensors)} tensors, "
                f"got {homes_PT.shape[1]}"
            )
        used_H, first_H = np.unique(homes_PT, return_index=True)
        number_H = np.zeros(len(homes_H), np.uint16)
        for home, first in zip(used_H.tolist(), first_H.tolist(), strict=True):
            number_H[home] = self._number(homes_H[home], first % len(self._tensors))
        states = (self._run(number_H[homes_T]) for homes_T in homes_PT)
        return np.array([state.value_F[NOW] for state in states], np.float64)

    def _run(self, number_T: NDArray[np.uint16]) -> State:
        """The state after one inference.

        Args:
            number_T: of the tensors' homes.
        """
        keys = number_T[self._tensor_E].tobytes()
        rows = [programs.get(keys[first:end], -1) for programs, first, end in self._lookups]
        if -1 in rows:
            rows = [self._program(op, keys) for op in range(len(rows))]
        program_N = np.array(rows, np.int64)
        programs = self._tables.arrays
        state = new_state(
            self._compiler.hardware, self._timing_VF, programs, program_N,
            self._page_E, self._first_row_N,
        )  # fmt: skip
        if not run(programs, state):
            raise RuntimeError("the detailed model came to a halt: nothing left to happen")
        return state

    def _program(self, op: int, keys: bytes) -> int:
        """The row of an op's program, compiled where it was not met before."""
        programs, first, end = self._lookups[op]
        key = keys[first:end]
        row = programs.get(key)
        if row is None:
            known = list(self._homes)
            homes = [known[number] for number in np.frombuffer(key, np.uint16)]
            row = programs[key] = self._tables.add(self._compiler.compile(op, homes))
        return row

    def _number(self, home: Home, tensor: int) -> int:
        """Of a home, and of no other; a new one is checked."""
        number = self._homes.get(home)
        if number is None:
            self._check(home, self._tensors[tensor].name)
            number = self._homes[home] = len(self._homes)
        return number

    def _check(self, home: Home, name: str) -> None:
        tiers = self._tiers
        if not 0 <= home.tier < len(tiers):
            raise InputError(
                f"tensor {name}: expected a tier from 0 to {len(tiers) - 1}, got {home.tier}"
            )
        if (home.mode == "shared") is not (tiers[home.tier].scope == "shared"):
            raise InputError(
                f"tensor {name}: {tiers[home.tier].name} is "
                f"{tiers[home.tier].scope}, got mode {home.mode}"
            )


def simulate_detailed(
    workload: Workload,
    accelerator: Accelerator,
    homes: Sequence[Home],
    parameters: DetailedParameters = DEFAULTS,
    addresses: Sequence[int] | None = None,
) -> DetailedResult:
    """Simulate one placement; `DetailedModel` is faster for many.

    Args:
        workload: ops and tensors.
        accelerator: the target.
        homes: one for each tensor.
        parameters: of the model.
        addresses: see `DetailedModel`.

    Raises:
        InputError: see `DetailedModel` and its `simulate`.
    """
    return DetailedModel(workload, accelerator, parameters, addresses).simulate(homes)
