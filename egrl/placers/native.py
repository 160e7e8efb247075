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
from graph_ir.workload import TensorKind

RESIDENT_KINDS = (TensorKind.WEIGHT, TensorKind.STATE)

RESIDENT, SCRATCH, OUTPUT = range(3)
"""The turns in which an op's tensors are placed."""

_TURNS = {**dict.fromkeys(RESIDENT_KINDS, RESIDENT), TensorKind.SCRATCH: SCRATCH}


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
    a = problem.arrays
    op_E = np.repeat(np.arange(problem.op_count), np.diff(a.row_start_N))
    turn_T = np.array([_TURNS.get(t.kind, OUTPUT) for t in problem.workload.tensors], np.int64)
    turn_E = turn_T[a.row_tensor_E]
    brought_E = np.flatnonzero((turn_E < OUTPUT) | ~a.row_is_read_E)
    by_turn = brought_E[np.lexsort((turn_E[brought_E], op_E[brought_E]))]
    met = np.concatenate([a.row_tensor_E[by_turn], np.arange(problem.tensor_count)])
    _, first = np.unique(met, return_index=True)
    order_T = met[np.sort(first)]
    order: NDArray[np.int64] = order_T[problem.allowed_TH[order_T].sum(axis=1) > 1]
    return order
