"""How an op is cut into tiles that fit the tile buffer, one type per rule.

`accelerator_sim/cost/tiling/` says how often each operand is read.
"""

from typing import Literal

import msgspec


class HalfBuffer(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="half-buffer", tag_field="rule"
):
    """Half of the buffer holds a tile of one factor while the other half fills."""


class ConvolutionBuffer(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag="convolution-buffer",
    tag_field="rule",
):
    """NVDLA's: a group of kernels and some lines of features share the buffer.

    Attributes:
        kernel_group: kernels that are in the buffer while features pass by.
        spare_lines: input lines in the buffer beyond the kernel's height while weights pass by.
        order: what stays: `features` where they are smaller than a `kernel-group`, or smaller than
            all weights (`smaller-operand`), and weights otherwise; the `best` of the two; or
            `single-pass`, where nothing is ever read again.
        images_apart: every image of a batch reads the weights again.
        source: of these numbers.
    """

    kernel_group: int
    spare_lines: int
    order: Literal["kernel-group", "smaller-operand", "best", "single-pass"]
    images_apart: bool
    source: str


Tiling = HalfBuffer | ConvolutionBuffer
