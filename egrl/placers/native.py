"""`native`: first fit in execution order, what a vendor's compiler does; it normalises rewards.

For each op in turn: its weights and states, which stay from start to end, then its scratch, then
its outputs, each in operand order, go into the innermost tier in which they fit beside everything
already placed over their whole lifetime. The space of dead activations is used again. No
look-ahead, nothing is revisited, and nothing is known of time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placers.constructive import ConstructivePlacer, fewest_bytes_first
from egrl.placers.decoder import Decoder
from graph_ir.workload import Op, TensorKind, Workload

RESIDENT_KINDS = (TensorKind.WEIGHT, TensorKind.STATE)


@dataclass(frozen=True, slots=True)
class Native(ConstructivePlacer):
    """First fit in execution order."""

    def homes(self, problem: PlacementProblem, decoder: Decoder) -> NDArray[np.int8]:
        """See `ConstructivePlacer.homes`."""
        return decoder.decode(execution_order(problem), fewest_bytes_first(problem))


def execution_order(problem: PlacementProblem) -> NDArray[np.int64]:
    """The tensors that have a choice, in the order in which `native` places them.

    A tensor that no op brings in (an input that may live elsewhere, say) comes last.
    """
    workload = problem.workload
    met: dict[int, None] = {}
    for op in workload.ops:
        met.update(dict.fromkeys(_brought_in(workload, op)))
    met.update(dict.fromkeys(range(problem.tensor_count)))
    free = problem.allowed_TH.sum(axis=1) > 1
    return np.array([t for t in met if free[t]], np.int64)


def _brought_in(workload: Workload, op: Op) -> list[int]:
    """Weights and states, scratch, outputs of an op."""
    kinds = [workload.tensors[operand.tensor].kind for operand in op.operands]
    pairs = list(zip(op.operands, kinds, strict=True))
    return [
        *(o.tensor for o, kind in pairs if kind in RESIDENT_KINDS),
        *(o.tensor for o, kind in pairs if kind is TensorKind.SCRATCH),
        *(o.tensor for o, kind in pairs if kind not in RESIDENT_KINDS and o.is_write),
    ]
