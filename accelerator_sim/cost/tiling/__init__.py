"""How often each operand of an op is read, and in which form: one file per tiling rule."""

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.tiling.convolution_buffer import convolution_buffer_orders
from accelerator_sim.cost.tiling.half_buffer import half_buffer_orders
from accelerator_sim.cost.tiling.loop_order import LoopOrder, SharedOp
from accelerator_sim.tiling import ConvolutionBuffer


def loop_orders(shared: SharedOp, accelerator: Accelerator) -> list[LoopOrder]:
    """The loop orders of an op that are worth considering, each with a name of its own.

    Args:
        shared: the op as the cores share it.
        accelerator: the target.
    """
    if isinstance(accelerator.tiling, ConvolutionBuffer):
        return convolution_buffer_orders(shared, accelerator, accelerator.tiling)
    return half_buffer_orders(shared, accelerator)
