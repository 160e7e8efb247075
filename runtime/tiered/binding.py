"""Where each op of the machine finds its operands: in the innermost memory, or staged there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnxruntime as ort

from accelerator_sim.plan import Plan
from graph_ir.subgraph import SubgraphExtractor
from graph_ir.text import quoted
from runtime.arena import Bytes, PlanViolationError
from runtime.host_types import HostType
from runtime.op_sessions import OpSession, OpSessions
from runtime.session import ORT_ERRORS, one_line
from runtime.tensor_map import TensorMap
from runtime.tiered.memories import Memories, aligned
from runtime.tiered.program import OpProgram, Program, Stream


@dataclass(frozen=True, slots=True)
class StagedStream:
    """A stream with its two ends.

    Attributes:
        stream: what moves.
        offset: first host byte in the outer memory.
        staged_B: its bytes beside the op.
    """

    stream: Stream
    offset: int
    staged_B: Bytes


@dataclass(frozen=True, slots=True)
class BoundOp:
    """An op that is ready to run.

    Attributes:
        session: of onnxruntime.
        binding: of its inputs and outputs to memory.
        reads: to be staged before it computes.
        writes: to be written back after it has computed.
        assembled: weights that arrive in slices, by name.
        aside: results that cannot be computed in place, and where they belong.
        keep: arrays that the binding points into.
    """

    session: ort.InferenceSession
    binding: Any
    reads: tuple[StagedStream, ...]
    writes: tuple[StagedStream, ...]
    assembled: Mapping[str, Bytes]
    aside: tuple[tuple[Bytes, Bytes], ...]
    keep: tuple[Bytes, ...]

    def compute(self, where: str) -> None:
        """Run onnxruntime in this thread.

        Raises:
            PlanViolationError: it fails on what it finds in memory.
        """
        try:
            self.session.run_with_iobinding(self.binding)
        except ORT_ERRORS as error:
            raise PlanViolationError(f"{where}: {one_line(error)}") from error
        for result_B, home_B in self.aside:
            home_B[:] = result_B


class Binder:
    """Binds the ops of one plan."""

    def __init__(
        self,
        extractor: SubgraphExtractor,
        sessions: OpSessions,
        plan: Plan,
        program: Program,
        types: Mapping[str, HostType],
        memories: Memories,
    ) -> None:
        self._extractor = extractor
        self._sessions = sessions
        self._plan = plan
        self._program = program
        self._types = types
        self._memories = memories
        self._map = TensorMap(plan, types, program.scale)

    def bind(self, index: int, *, from_home: bool) -> BoundOp:
        """Bind one op.

        Args:
            index: of the op.
            from_home: True where the op computes on operands in their outer homes while their
                bytes are staged beside it; False where it computes on the staged bytes.

        Raises:
            PlanViolationError: an operand has no place.
        """
        op = self._plan.ops[index]
        program = self._program.ops[index]
        session = self._sessions.session_of(self._extractor.extract(op.nodes, op.writes))
        staged = self._stage(program, index)
        assembled = {name: aligned(size) for name, size in program.streamed.items()}
        inputs = {}
        for name in session.inputs:
            owner = self._map.owner(name)[0].name
            buffer_B = assembled.get(owner)
            for read in staged[0]:
                if read.stream.tensor == owner and read.stream.whole:
                    buffer_B = read.staged_B
            inputs[name] = self._view(name, index, None if from_home else buffer_B)
        outputs, aside = {}, []
        for name in session.outputs:
            owner = self._map.owner(name)[0].name
            buffer_B = next((w.staged_B for w in staged[1] if w.stream.tensor == owner), None)
            view_B = self._view(name, index, buffer_B)
            if any(_overlap(view_B, input_B) for input_B in inputs.values()):
                outputs[name] = aligned(view_B.size)
                aside.append((outputs[name], view_B))
            else:
                outputs[name] = view_B
        return BoundOp(
            session.session,
            self._bind(session, inputs, outputs),
            staged[0],
            staged[1],
            assembled,
            tuple(aside),
            (*inputs.values(), *outputs.values()),
        )

    def _stage(
        self, program: OpProgram, index: int
    ) -> tuple[tuple[StagedStream, ...], tuple[StagedStream, ...]]:
        """Buffers for what an op streams; what it reads and writes has one of each."""
        return (
            tuple(self._staged(stream, index) for stream in program.reads),
            tuple(self._staged(stream, index) for stream in program.writes),
        )

    def _staged(self, stream: Stream, index: int) -> StagedStream:
        offset = self._map.memory(stream.tensor, index).offset
        return StagedStream(stream, offset, aligned(stream.size_bytes))

    def _view(self, name: str, index: int, buffer_B: Bytes | None) -> Bytes:
        region = self._map.region(name, index)
        if buffer_B is not None:
            return buffer_B[region.begin : region.begin + region.size_bytes]
        view_B = self._memories.arena.view(region, 0)
        if view_B is None:
            raise PlanViolationError(f"tensor {quoted(name)}: is partitioned, on one core")
        return view_B

    def _bind(
        self, session: OpSession, inputs: Mapping[str, Bytes], outputs: Mapping[str, Bytes]
    ) -> Any:  # noqa: ANN401  onnxruntime's IOBinding has no stub
        binding = session.session.io_binding()
        for name, data_B in inputs.items():
            host = self._types[name]
            binding.bind_input(
                session.inputs[name], "cpu", 0, int(host.element), list(host.shape),
                int(data_B.ctypes.data),
            )  # fmt: skip
        for name, data_B in outputs.items():
            host = self._types[name]
            binding.bind_output(
                session.outputs[name], "cpu", 0, int(host.element), list(host.shape),
                int(data_B.ctypes.data),
            )  # fmt: skip
        return binding


def _overlap(a_B: Bytes, b_B: Bytes) -> bool:
    a, b = int(a_B.ctypes.data), int(b_B.ctypes.data)
    return a_B.size > 0 and b_B.size > 0 and a < b + b_B.size and b < a + a_B.size
