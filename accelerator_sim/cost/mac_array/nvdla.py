"""Direct convolution on a grid of input x output channels, after NVDLA's performance spreadsheet.

Cycles of a convolution are input channels x output positions x output channels x kernel taps over
multiply-accumulates a cycle, with the channels rounded up to what the grid takes at a time. One
with strides is first brought to stride 1 by moving skipped positions into channels (3 channels at
stride 4 become 48), and Winograd speeds up 3 x 3 taps. A matrix product is a convolution of one
tap.
"""

from accelerator_sim.cost.mac_array.rates import ceil_div
from accelerator_sim.mac_array import DirectConvolution
from graph_ir.workload import MacWork, Window


def direct_convolution_cycles(array: DirectConvolution, work: MacWork, rate: float) -> float:
    """Cycles of all products.

    Args:
        array: the grid.
        work: the products.
        rate: relative to the full rate.
    """
    positions, outputs = work.rows, work.columns
    if work.window is not None and work.window.output_size == (1, 1):
        positions, outputs = 1, outputs * work.rows  # Fully connected: images share the columns.
    channels, skipped = work.inner // work.kernel_positions, stride_area(array, work)
    products = (
        work.batch
        * _round_up(channels * skipped, max(1, int(array.input_channel_quantum * min(1.0, rate))))
        * positions
        * _round_up(outputs, array.output_channel_quantum)
        * work.kernel_positions
    )
    speed = array.winograd_speedup.value if _is_winograd(work.window) else 1.0
    return products / (skipped * array.macs_per_cycle * rate * speed)


def stored_features(array: DirectConvolution, work: MacWork, layout_channels: int) -> float:
    """Bytes of the features as the array reads them over bytes as their layout stores them.

    Args:
        array: the grid.
        work: the products.
        layout_channels: what channels of stored features are rounded up to.
    """
    skipped, window = stride_area(array, work), work.window
    if skipped == 1 or window is None or work.batch > 1:
        return 1.0
    channels = work.inner // work.kernel_positions
    (height, width), (down, along) = window.input_size, window.strides
    folded = _round_up(channels * skipped, layout_channels)
    folded *= ceil_div(height, down) * ceil_div(width, along)
    return folded / (_round_up(channels, layout_channels) * height * width)


def stored_weights(array: DirectConvolution, work: MacWork) -> float:
    """Bytes of the weights as the array stores them over packed bytes."""
    skipped, window = stride_area(array, work), work.window
    channels, taps = work.inner // work.kernel_positions, work.kernel_positions
    if window is not None and skipped > 1:
        taps = ceil_div(window.kernel[0], window.strides[0])
        taps *= ceil_div(window.kernel[1], window.strides[1])
    stored = _round_up(channels * skipped, array.weight_channel_quantum) * taps
    ratio = array.winograd_weight_ratio.value if _is_winograd(window) else 1.0
    return ratio * stored / work.inner


def stride_area(array: DirectConvolution, work: MacWork) -> int:
    """Positions that become channels, for each that stays; 1 where none do."""
    if work.window is None or array.space_to_depth == "never":
        return 1
    skipped = work.window.strides[0] * work.window.strides[1]
    channels, quantum = work.inner // work.kernel_positions, array.input_channel_quantum
    folded = _round_up(channels * skipped, quantum)
    if array.space_to_depth == "always" or folded < skipped * _round_up(channels, quantum):
        return skipped
    return 1


def _is_winograd(window: Window | None) -> bool:
    return (
        window is not None
        and window.kernel == (3, 3)
        and window.strides == (1, 1)
        and window.dilations == (1, 1)
    )


def _round_up(extent: int, quantum: int) -> int:
    return ceil_div(extent, quantum) * quantum
