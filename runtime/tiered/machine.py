"""The machine: an ordered stream of ops, computed by onnxruntime, fed by copy threads.

An op begins when the one before has ended. What it streams from outer memories arrives through
their rate limiters; weights that the plan fetches ahead arrive by the DMA thread. onnxruntime
computes an op whole, where an accelerator works on tiles while others arrive. So there are two ways
to execute an op:

- `tiles`: onnxruntime computes on the operands where they live while the copy threads move the
  same bytes at the memories' rates; results are written back as if they had been produced evenly
  while the op ran. An op lasts as long as its slowest resource, as with double-buffered tiles.
- `whole`: the op waits for all its operands, computes on the bytes that were moved, and then
  writes its results back. Nothing overlaps inside an op, and every byte computed on was moved.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from accelerator_sim.plan import Plan
from accelerator_sim.problem import PlacementProblem
from graph_ir.errors import InputError
from graph_ir.subgraph import SubgraphExtractor
from graph_ir.text import quoted
from runtime.arena import Bytes
from runtime.host_types import HostType, host_types
from runtime.op_sessions import OpSessions
from runtime.tensor_map import TensorMap
from runtime.tiered.binding import Binder, BoundOp, StagedStream
from runtime.tiered.memories import Memories
from runtime.tiered.program import DmaSlice, build_program
from runtime.tiered.workers import CopyThread, DmaThread, Move

Array = NDArray[np.generic]
Overlap = Literal["tiles", "whole"]


@dataclass(frozen=True, slots=True)
class OpTime:
    """Seconds of one op: all of it, and of them onnxruntime's."""

    duration_s: float
    compute_s: float


@dataclass(frozen=True, slots=True)
class Inference:
    """One execution.

    Attributes:
        latency_s: from the first op's beginning to the last one's end.
        ops: in order.
    """

    latency_s: float
    ops: tuple[OpTime, ...]


class LoadedModel:
    """What all plans of one model share: its graph, its weights, its sessions."""

    def __init__(self, model: ir.Model) -> None:
        """Index a model, whose nodes have the names that the workload uses."""
        self.types: Mapping[str, HostType] = host_types(model)
        self.extractor = SubgraphExtractor(model)
        self.sessions = OpSessions()
        self.weights: Mapping[str, Bytes] = {
            name: np.frombuffer(value.const_value.tobytes(), np.uint8)
            for name, value in model.graph.initializers.items()
            if value.const_value is not None
        }
        self.outputs = tuple(value.name or "" for value in model.graph.outputs)


class TieredMachine:
    """One plan in its memories; a context manager that ends its threads."""

    def __init__(
        self,
        model: LoadedModel,
        problem: PlacementProblem,
        homes: Sequence[int],
        plan: Plan,
        overlap: Overlap = "tiles",
    ) -> None:
        """Allocate the memories, put the weights into their homes, bind the ops.

        Args:
            model: what is executed.
            problem: on an accelerator of one core.
            homes: a home per tensor.
            plan: of these homes.
            overlap: how an op is executed (see the module).

        Raises:
            InputError: the accelerator is not one that this machine can be.
            PlanViolationError: the plan cannot be executed.
        """
        self._model = model
        self._plan = plan
        self._overlap: Overlap = overlap
        self._program = build_program(problem, homes, plan, model.types)
        self._map = TensorMap(plan, model.types, self._program.scale)
        self._memories = Memories(plan, problem.accelerator, self._program.scale)
        slice_bytes = problem.accelerator.streaming.slice_bytes
        self._copies: dict[str, CopyThread] = {}
        for tier in self._program.outer:
            self._copies[tier] = CopyThread(self._memories, tier, slice_bytes)
        self._write_weights()
        binder = Binder(
            model.extractor, model.sessions, plan, self._program, model.types, self._memories
        )
        self._ops = [
            binder.bind(index, from_home=overlap == "tiles") for index in range(len(plan.ops))
        ]
        self._late = [[self._late_move(piece) for piece in op.late] for op in self._program.ops]
        self._dma = DmaThread(
            self._memories,
            self._program.inner,
            self._program.dma,
            {(p.tensor, p.consumer): self._offset(p) for p in self._program.dma},
            [op.assembled for op in self._ops],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for thread in self._copies.values():
            thread.close()
        self._memories.close()

    def set_inputs(self, inputs: Mapping[str, Array]) -> None:
        """Write the graph's inputs to their homes.

        Raises:
            InputError: one does not have the bytes that the graph wants.
        """
        for name, array in inputs.items():
            data_B = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            self._write_home(name, data_B)

    def run(self) -> Inference:
        """Execute one inference.

        Raises:
            PlanViolationError: onnxruntime fails on what is in memory.
        """
        times: list[OpTime] = []
        self._dma.start()
        begin_s = time.perf_counter()
        try:
            for index, op in enumerate(self._ops):
                times.append(self._run_op(index, op))
        finally:
            self._dma.stop()
        return Inference(time.perf_counter() - begin_s, tuple(times))

    def outputs(self) -> dict[str, Array]:
        """The graph's outputs as their homes hold them."""
        last = max(0, len(self._plan.ops) - 1)
        arrays: dict[str, Array] = {}
        for name in self._model.outputs:
            host = self._model.types[name]
            data_B = self._memories.arena.read(self._map.region(name, last))
            arrays[name] = data_B.view(host.element.numpy()).reshape(host.shape)
        return arrays

    def moved_bytes(self) -> dict[str, int]:
        """Bytes that each outer memory has moved since the machine was made."""
        return {name: limiter.moved_bytes for name, limiter in self._memories.limiters.items()}

    def handoff_seconds(self, tier: str, count: int) -> list[float]:
        """Seconds until a copy thread has been given next to nothing to copy and has said so."""
        moves = [Move(tier, 0, np.zeros(1, np.uint8), "read")]
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            self._copies[tier].begin(moves, began)
            self._copies[tier].finish()
            seconds.append(time.perf_counter() - began)
        return seconds

    def _run_op(self, index: int, op: BoundOp) -> OpTime:
        begin_s = time.perf_counter()
        self._dma.op_begins(index, begin_s)
        begun = self._begin([*map(_reading, op.reads), *self._late[index]], begin_s)
        self._dma.wait_for(index)
        if self._overlap == "whole":
            self._finish(begun)
            begun = []
        computing_s = time.perf_counter()
        op.compute(f"op {quoted(self._plan.ops[index].name)}")
        computed_s = time.perf_counter()
        since_s = begin_s if self._overlap == "tiles" else computed_s
        begun += self._begin([_writing(write) for write in op.writes], since_s)
        self._finish(begun)
        return OpTime(time.perf_counter() - begin_s, computed_s - computing_s)

    def _begin(self, moves: Sequence[Move], since_s: float) -> list[CopyThread]:
        begun = []
        for tier, thread in self._copies.items():
            of_tier = [move for move in moves if move.tier == tier]
            if of_tier:
                thread.begin(of_tier, since_s)
                begun.append(thread)
        return begun

    def _finish(self, begun: Sequence[CopyThread]) -> None:
        for thread in begun:
            thread.finish()

    def _late_move(self, piece: DmaSlice) -> Move:
        assembled_B = self._ops[piece.consumer].assembled[piece.tensor]
        part_B = assembled_B[piece.begin : piece.begin + piece.size_bytes]
        return Move(piece.tier, self._offset(piece) + piece.begin, part_B, "read")

    def _offset(self, piece: DmaSlice) -> int:
        return self._map.memory(piece.tensor, piece.consumer).offset

    def _write_weights(self) -> None:
        planned = {tensor.name for tensor in self._plan.tensors}
        for name, data_B in self._model.weights.items():
            if name in planned:
                self._write_home(name, data_B)

    def _write_home(self, name: str, data_B: Bytes) -> None:
        region = self._map.region(name, 0)
        if region.size_bytes != data_B.size:
            raise InputError(
                f"tensor {quoted(name)}: expected {region.size_bytes} bytes, got {data_B.size}"
            )
        self._memories.arena.write(region, data_B)


def _reading(staged: StagedStream) -> Move:
    return Move(staged.stream.tier, staged.offset, staged.staged_B, "read")


def _writing(staged: StagedStream) -> Move:
    return Move(staged.stream.tier, staged.offset, staged.staged_B, "write")
