"""What it takes to widen compressed weights, by the unit that does it on the target."""

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.mac_array.rates import rate_pair
from graph_ir.errors import InputError
from graph_ir.workload import Op, Split


def dequantize_ops(op: Op, accelerator: Accelerator) -> int:
    """Vector operations of widening an op's weights once; 0 where a weight decoder does it."""
    if accelerator.dequantize.unit == "vector" or accelerator.mac_array is None:
        return op.dequantize_ops
    return 0


def shared_dequantize_ops(op: Op, accelerator: Accelerator, split: Split, cores: int) -> int:
    """The same on all cores: where they share rows, each of them widens the whole weight."""
    return dequantize_ops(op, accelerator) * (cores if split is Split.ROWS else 1)


def mac_energy_j(accelerator: Accelerator, left_type: str, right_type: str) -> float:
    """Energy of a multiply-accumulate of these stored types.

    Raises:
        InputError: the target does not say.
    """
    array, energy_j = accelerator.mac_array, accelerator.energy.mac_j
    pair = None if array is None else rate_pair(array, left_type, right_type)
    if pair is None or pair not in energy_j:
        raise InputError(
            f"{accelerator.name}: energy.mac_j: expected {left_type}*{right_type}, got none"
        )
    return energy_j[pair].value
