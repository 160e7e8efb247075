"""Executes one op of a plan on views into the arena."""

from collections.abc import Mapping

import numpy as np

from accelerator_sim.plan import Plan
from graph_ir.subgraph import SubgraphExtractor
from graph_ir.text import quoted
from runtime.arena import Arena, Bytes, PlanViolationError
from runtime.guards import Guards
from runtime.host_types import HostType
from runtime.op_sessions import Binding, OpSessions
from runtime.tensor_map import TensorMap
from runtime.transfers import Transfers


class OpRunner:
    """Binds the operands of each op where the plan puts them, and runs it."""

    def __init__(
        self,
        extractor: SubgraphExtractor,
        plan: Plan,
        types: Mapping[str, HostType],
        tensors: TensorMap,
        arena: Arena,
        transfers: Transfers,
        guards: Guards,
    ) -> None:
        self._extractor = extractor
        self._plan = plan
        self._types = types
        self._tensors = tensors
        self._arena = arena
        self._transfers = transfers
        self._guards = guards
        self.sessions = OpSessions()
        self.gathered_operands = 0

    def run(self, index: int) -> None:
        """Execute an op; core `index` modulo cores stands for all that hold a replica.

        Raises:
            PlanViolationError: an operand has no place, a misaligned one, or onnxruntime fails on
                what it finds there.
        """
        op = self._plan.ops[index]
        where = f"op {quoted(op.name)}"
        if not op.nodes or not op.writes:
            raise PlanViolationError(f"{where}: has no nodes, or writes nothing")
        session = self.sessions.session_of(self._extractor.extract(op.nodes, op.writes))
        # Addresses do not keep memory alive: these arrays do until the op has run.
        operands = {name: self._input(name, index) for name in session.inputs}
        results = {name: self._output(name, index, operands) for name in session.outputs}
        for name in operands:
            self._check_guard(name, index, where)
        problem = session.run(
            {name: self._bind(name, data_B, where) for name, data_B in operands.items()},
            {name: self._bind(name, data_B, where) for name, data_B in results.items()},
        )
        if problem:
            raise PlanViolationError(f"{where}: cannot run on the planned memory: {problem}")
        for name, data_B in results.items():
            self._arena.write(self._tensors.region(name, index), data_B)
        for name in op.reads:
            # Scratch, which no value fills: nothing else may have been written there.
            if name not in self._types:
                self._guards.check(name, index, where)

    def _check_guard(self, name: str, index: int, where: str) -> None:
        owner, _ = self._tensors.owner(name)
        streamed_B = self._transfers.streamed(owner.name)
        if streamed_B is None:
            self._guards.check(name, index, where)
        else:
            self._guards.check_streamed(owner.name, streamed_B, where)

    def _input(self, name: str, index: int) -> Bytes:
        owner, begin = self._tensors.owner(name)
        streamed_B = self._transfers.streamed(owner.name)
        region = self._tensors.region(name, index)
        if streamed_B is not None:
            return streamed_B[begin : begin + region.size_bytes]
        view_B = self._arena.view(region, index)
        if view_B is not None:
            return view_B
        self.gathered_operands += 1
        return self._arena.read(region)

    def _output(self, name: str, index: int, operands: Mapping[str, Bytes]) -> Bytes:
        region = self._tensors.region(name, index)
        view_B = self._arena.view(region, index)
        # Where a declared alias makes an op write over what it reads, the accelerator's stream
        # does so in order; onnxruntime's kernels do not promise to.
        if view_B is not None and not any(_overlap(view_B, data_B) for data_B in operands.values()):
            return view_B
        self.gathered_operands += 1
        return np.empty(region.size_bytes, np.uint8)

    def _bind(self, name: str, data_B: Bytes, where: str) -> Binding:
        if name not in self._types:
            raise PlanViolationError(f"{where}: tensor {quoted(name)}: its type is not known")
        host = self._types[name]
        address = int(data_B.ctypes.data)
        if data_B.size != host.size_bytes:
            raise PlanViolationError(
                f"{where}: tensor {quoted(name)}: expected {host.size_bytes} bytes, "
                f"got {data_B.size} in the plan"
            )
        if address % host.alignment_bytes:
            raise PlanViolationError(
                f"{where}: tensor {quoted(name)}: its address is not a multiple of "
                f"{host.alignment_bytes} bytes, the size of its elements"
            )
        return Binding(host, address)


def _overlap(a_B: Bytes, b_B: Bytes) -> bool:
    a, b = int(a_B.ctypes.data), int(b_B.ctypes.data)
    return a_B.size > 0 and b_B.size > 0 and a < b + b_B.size and b < a + a_B.size
