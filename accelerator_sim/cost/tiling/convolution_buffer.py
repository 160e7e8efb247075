"""NVDLA's convolution buffer, shared by features and weights (its performance spreadsheet).

Either features stay, as many as fit beside one group of kernels, and the weights pass by once for
each such part; or kernels stay, as many as fit beside the lines of features that one row of output
needs, and the features pass by once for each such part. Where the part that is to be beside takes
the whole buffer, it is given half.
"""

from math import ceil

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.mac_array.nvdla import stored_features, stored_weights, stride_area
from accelerator_sim.cost.tiling.loop_order import LoopOrder, SharedOp, passes_of
from accelerator_sim.mac_array import DirectConvolution
from accelerator_sim.tiling import ConvolutionBuffer


def convolution_buffer_orders(
    shared: SharedOp, accelerator: Accelerator, rule: ConvolutionBuffer
) -> list[LoopOrder]:
    """The order that the rule chooses, or both."""
    op, work, array = shared.op, shared.work, accelerator.mac_array
    left_form = right_form = 1.0
    if isinstance(array, DirectConvolution):
        left_form = stored_features(array, work, accelerator.layout_channels)
        right_form = stored_weights(array, work)
    batch = _images(shared)
    images = batch if rule.images_apart else 1

    def order(name: str, left: int, right: int) -> LoopOrder:
        return LoopOrder(name, passes_of(op, left, right * images), left_form, right_form)

    if rule.order == "single-pass":
        return [order("single-pass", 1, 1)]
    channels = max(1, work.inner // work.kernel_positions)
    quantum = accelerator.layout_channels
    padding = -(-channels // quantum) * quantum / channels if work.batch == 1 else 1.0
    products = max(1, work.batch) * images
    features = shared.left_bytes * padding * left_form / products
    weights = shared.right_bytes * right_form / max(1, work.batch)
    buffer = accelerator.tile_buffer_bytes.value
    group = _beside(rule.kernel_group * weights / work.columns, buffer)
    image = features * images / batch
    lines = _beside(image * _line_share(shared, accelerator, rule), buffer)
    left_held = order("left-held", 1, _parts(features, buffer - group))
    right_held = order("right-held", _parts(weights, buffer - lines), 1)
    if rule.order == "best":
        both = {held.passes: held for held in (right_held, left_held)}
        once = order("single-pass", 1, 1)
        return [once] if once.passes in both else [left_held, right_held]
    limit = group if rule.order == "kernel-group" else weights
    return [left_held if features < limit else right_held]


def _images(shared: SharedOp) -> int:
    """Images of the batch; 1 of a plain matrix product."""
    window = shared.work.window
    if window is None:
        return 1
    return max(1, shared.work.rows // (window.output_size[0] * window.output_size[1]))


def _line_share(shared: SharedOp, accelerator: Accelerator, rule: ConvolutionBuffer) -> float:
    """Part of an image's features that the lines under the kernel are."""
    window, array = shared.work.window, accelerator.mac_array
    if window is None:
        return min(1.0, (1 + rule.spare_lines) / max(1, shared.work.rows))
    folds = isinstance(array, DirectConvolution) and stride_area(array, shared.work) > 1
    height = ceil(window.input_size[0] / window.strides[0]) if folds else window.input_size[0]
    return min(1.0, (window.kernel[0] + rule.spare_lines) / height)


def _beside(needed_bytes: float, buffer_bytes: float) -> float:
    return needed_bytes if needed_bytes < buffer_bytes else buffer_bytes / 2


def _parts(held_bytes: float, room_bytes: float) -> int:
    return max(1, ceil(held_bytes / room_bytes - 1e-9))
