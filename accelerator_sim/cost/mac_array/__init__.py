"""Cycles of the matrix unit for a matrix product, edge tiles included: one file per dataflow."""

from accelerator_sim.cost.mac_array.dot_grid import dot_grid_cycles
from accelerator_sim.cost.mac_array.rates import relative_rate
from accelerator_sim.cost.mac_array.systolic import systolic_cycles
from accelerator_sim.mac_array import DotGrid, MacArray
from graph_ir.workload import MacWork


def array_cycles(array: MacArray, work: MacWork) -> float:
    """Cycles that one core's array needs for one `MacWork`.

    Args:
        array: the matrix unit.
        work: the products, with the extents that this core computes.

    Raises:
        InputError: the array has no rate for the work's types.
    """
    rate = relative_rate(array, work.left_type, work.right_type)
    if isinstance(array, DotGrid):
        return dot_grid_cycles(array, work, rate)
    return work.batch * systolic_cycles(array, work) / rate
