"""What a convolution multiplies its weight with: the patches of its input, as rows (im2col).

Axes: B samples, C channels, P positions of the kernel, E entries of a kernel (channels of a group
by taps), R rows.
"""

from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np
import onnx_ir as ir

from graph_ir.compression.grid import F32
from graph_ir.onnx_values import shape_of


@dataclass(frozen=True, slots=True)
class Kernel:
    """How a convolution moves over its input; one number an axis in space.

    Attributes:
        groups: of channels.
        taps: extents of the kernel.
        strides: of its positions.
        dilations: of its taps.
        before: zeros in front.
        after: zeros behind.
    """

    groups: int
    taps: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]


def kernel_of(node: ir.Node, weight_shape: tuple[int, ...]) -> Kernel:
    """The kernel of a Conv with static shapes."""
    taps = weight_shape[2:]
    ones = (1,) * len(taps)
    attributes = node.attributes
    strides = tuple(attributes.get_ints("strides", ones) or ones)
    dilations = tuple(attributes.get_ints("dilations", ones) or ones)
    pads = tuple(attributes.get_ints("pads", (0, 0) * len(taps)) or (0, 0) * len(taps))
    before, after = pads[: len(taps)], pads[len(taps) :]
    mode = attributes.get_string("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        source = node.inputs[0]
        assert source is not None
        total = tuple(
            max((ceil(extent / s) - 1) * s + (t - 1) * d + 1 - extent, 0)
            for extent, t, s, d in zip(shape_of(source)[2:], taps, strides, dilations, strict=True)
        )
        less, more = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        before, after = (less, more) if mode == "SAME_UPPER" else (more, less)
    elif mode == "VALID":
        before = after = (0,) * len(taps)
    return Kernel(attributes.get_int("group", 1) or 1, taps, strides, dilations, before, after)


def patches(values: F32, kernel: Kernel, most: int) -> F32:
    """Rows of every group, `[groups, R, E]`, of evenly spaced positions.

    Args:
        values: `[B, C, ...]`.
        kernel: that moves over them.
        most: positions of a sample that are taken.
    """
    space = tuple(range(2, values.ndim))
    pads = [(0, 0), (0, 0), *zip(kernel.before, kernel.after, strict=True)]
    padded = np.pad(values, pads)
    reach = tuple((t - 1) * d + 1 for t, d in zip(kernel.taps, kernel.dilations, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=space)
    steps = tuple(slice(None, None, s) for s in kernel.strides)
    taken = tuple(slice(None, None, d) for d in kernel.dilations)
    windows = windows[(slice(None), slice(None), *steps, *taken)]
    extents = windows.shape[2 : values.ndim]
    count = prod(extents)
    picked = np.unravel_index(np.linspace(0, count - 1, min(most, count)).astype(int), extents)
    # Indexed axes that are next to each other leave one in their place: [B, C, P, taps...].
    index: tuple[Any, ...] = (slice(None), slice(None), *picked)
    chosen = windows[index]
    batch, channels, positions = chosen.shape[:3]
    parted = chosen.reshape(batch, kernel.groups, channels // kernel.groups, positions, -1)
    rows = np.moveaxis(parted, (1, 3), (0, 2))  # [groups, B, P, channels, taps]
    return np.ascontiguousarray(rows, np.float32).reshape(kernel.groups, batch * positions, -1)
