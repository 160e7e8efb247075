"""What has to change at the constants around a residual stream for it to be rotated."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A constant operand with an axis of the stream's channels.

    It becomes `(constant * scale_D) @ Q` along that axis, for what writes to the stream (a table,
    a bias, the columns of a weight) and for what reads it (the rows of a weight) alike.

    Attributes:
        node: that has the operand.
        index: of the operand.
        axis: of the constant; D long, or 1 where one value stands for all channels.
        writes: whether what the node yields goes into the stream.
        scale_D: multiplied in first; None for ones.
    """

    node: ir.Node
    index: int
    axis: int
    writes: bool = True
    scale_D: F64 | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Neutral:
    """A constant operand that becomes ones or zeros, for it is folded into others."""

    node: ir.Node
    index: int
    fill: float


@dataclass(frozen=True, slots=True, eq=False)
class Offset:
    """What a product has to add because a constant in front of it became zeros.

    Attributes:
        node: MatMul or Gemm with the weight at 1.
        offset_D: added to its left factor until now.
    """

    node: ir.Node
    offset_D: F64


Edit = Turn | Neutral | Offset


@dataclass(frozen=True, slots=True)
class ResidualStream:
    """Everything that has to change for the stream to be `x_.D @ Q`.

    Attributes:
        width: D.
        edits: in the order in which they were found.
        norms: how many norms read the stream.
        keeps_ones: whether Q has to map the vector of ones onto itself (a mean is subtracted).
    """

    width: int
    edits: tuple[Edit, ...]
    norms: int
    keeps_ones: bool

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The constants that are multiplied with Q."""
        return tuple(edit for edit in self.edits if isinstance(edit, Turn))

    @property
    def neutrals(self) -> tuple[Neutral, ...]:
        """The constants that are folded into others."""
        return tuple(edit for edit in self.edits if isinstance(edit, Neutral))

    @property
    def offsets(self) -> tuple[Offset, ...]:
        """The products that get a bias."""
        return tuple(edit for edit in self.edits if isinstance(edit, Offset))
