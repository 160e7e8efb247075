"""Cycles of the matrix unit for a matrix product, edge tiles included: one file per dataflow."""

from accelerator_sim.cost.mac_array.dot_grid import dot_grid_cycles
from accelerator_sim.cost.mac_array.ethos_u import ethos_u_cycles
from accelerator_sim.cost.mac_array.nvdla import direct_convolution_cycles
from accelerator_sim.cost.mac_array.rates import relative_rate
from accelerator_sim.cost.mac_array.systolic import dense_blocks, systolic_cycles
from accelerator_sim.mac_array import DirectConvolution, DotGrid, EthosU55, EthosU85, MacArray
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
    if isinstance(array, DirectConvolution):
        return direct_convolution_cycles(array, work, rate)
    if isinstance(array, EthosU55 | EthosU85):
        return ethos_u_cycles(array, work) / rate
    work = dense_blocks(array, work)
    return work.batch * systolic_cycles(array, work) / rate
