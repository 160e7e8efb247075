"""The ops of a workload on an accelerator, ready to be compiled for any homes of their operands."""

import zlib
from collections.abc import Sequence

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed.cases import cases_of
from accelerator_sim.detailed.compiler import Candidate, candidates_of, compile_op
from accelerator_sim.detailed.hardware import hardware_of
from accelerator_sim.detailed.parameters import DetailedParameters
from accelerator_sim.detailed.program import Program
from accelerator_sim.detailed.sharing import servers_of
from graph_ir.errors import InputError
from graph_ir.workload import Workload


class WorkloadCompiler:
    """Keeps what homes play no part in: the ways to share and to tile each op.

    Attributes:
        hardware: that the programs run on.
        tensors_of_op: of its operands, in their order.
        pages_of_op: first page of each operand's tensor.
        shape_of_op: equal for ops that get equal programs for equal homes.
    """

    def __init__(
        self,
        workload: Workload,
        accelerator: Accelerator,
        parameters: DetailedParameters,
        addresses: Sequence[int] | None,
    ) -> None:
        """See `DetailedModel`.

        Raises:
            InputError: the number of addresses is not that of the tensors.
        """
        if addresses is not None and len(addresses) != len(workload.tensors):
            raise InputError(
                f"addresses: expected one for each of {len(workload.tensors)} tensors, "
                f"got {len(addresses)}"
            )
        self._accelerator = accelerator
        self._parameters = parameters
        self._servers = servers_of(accelerator)
        self._cases = cases_of(workload, accelerator)
        self._candidates: dict[int, tuple[Candidate, ...]] = {}
        self.hardware = hardware_of(accelerator, self._servers, parameters)
        self.tensors_of_op = [[o.tensor for o in op.operands] for op in workload.ops]
        pages = _pages(workload, parameters, addresses)
        self.pages_of_op = [[pages[t] for t in tensors] for tensors in self.tensors_of_op]
        shapes: dict[tuple[object, ...], int] = {}
        self.shape_of_op = [shapes.setdefault(c.signature, len(shapes)) for c in self._cases]

    def compile(self, op: int, homes: Sequence[Home]) -> Program:
        """The program of an op.

        Args:
            op: its index.
            homes: of its operands, in their order.

        Raises:
            InputError: the target has no rate for what the op computes.
        """
        case, shape = self._cases[op], self.shape_of_op[op]
        if shape not in self._candidates:
            self._candidates[shape] = candidates_of(case, self._accelerator, self._parameters)
        return compile_op(
            case, self._candidates[shape], homes,
            self._accelerator, self._servers, self._parameters,
        )  # fmt: skip


def _pages(
    workload: Workload, parameters: DetailedParameters, addresses: Sequence[int] | None
) -> list[int]:
    if addresses is not None:
        return [address // parameters.outer.row_bytes for address in addresses]
    return [zlib.crc32(f"{parameters.seed}/{tensor.name}".encode()) for tensor in workload.tensors]
