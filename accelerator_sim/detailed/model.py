"""The detailed model of a workload on an accelerator, and what it answers for a placement."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed.flat import ProgramTables
from accelerator_sim.detailed.loop.run import run
from accelerator_sim.detailed.loop.state import BUSY_S, LOST_S, NOW, State, constants_of, new_state
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
        self._constants = constants_of(self._compiler.hardware)
        tensors_of_op = self._compiler.tensors_of_op
        self._tensor_E = np.array([t for tensors in tensors_of_op for t in tensors], np.int64)
        self._page_E = np.array([p for pages in self._compiler.pages_of_op for p in pages], np.int64)
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
        numbers = []
        for tensor, home in zip(self._tensors, homes, strict=True):
            if home not in self._homes:
                self._check(tensor.name, home)
                self._homes[home] = len(self._homes)
            numbers.append(self._homes[home])
        state = self._run(np.array(numbers, np.uint16))
        return DetailedResult(
            float(state.clock_F[NOW]),
            tuple(state.op_end_N.tolist()),
            tuple(state.clock_VF[:, BUSY_S].tolist()),
            tuple(state.clock_VF[:, LOST_S].tolist()),
        )

    def latencies(self, homes_H: Sequence[Home], homes_PT: NDArray[np.int8]) -> NDArray[np.float64]:
        """Latencies of many placements, in seconds.

        Args:
            homes_H: that the placements choose from.
            homes_PT: for each placement and tensor, which of them.

        Raises:
            InputError: see `simulate`.
        """
        latency_P = np.empty(len(homes_PT))
        for index, homes_T in enumerate(homes_PT.tolist()):
            latency_P[index] = self.simulate([homes_H[home] for home in homes_T]).latency_s
        return latency_P

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
        state = new_state(self._constants, programs, program_N, self._page_E, self._first_row_N)
        if not run(self._constants, programs, state):
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

    def _check(self, name: str, home: Home) -> None:
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
