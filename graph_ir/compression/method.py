"""What a method of weight quantization is: one function from a weight to a quantized one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from graph_ir.compression.grid import F32, Grid, QuantizedWeight


@dataclass(frozen=True, slots=True)
class InputStatistics:
    """What a product's left factor was over the calibration inputs.

    Attributes:
        gram_KK: float64, mean over rows of x x^T.
        rows: how many rows were seen.
    """

    gram_KK: NDArray[np.float64]
    rows: int


class WeightMethod(ABC):
    """Chooses integers, scales and zero points of one weight at a time.

    Options are fields of the (frozen dataclass) subclass, given as `key=value` on the command line.

    Attributes:
        name: on the command line.
        needs_inputs: whether `quantize` wants statistics of the layer's inputs.
    """

    name: ClassVar[str]
    needs_inputs: ClassVar[bool] = False

    @abstractmethod
    def quantize(
        self, weight_KN: F32, grid: Grid, inputs: InputStatistics | None
    ) -> QuantizedWeight:
        """Quantize one weight.

        Args:
            weight_KN: finite.
            grid: wanted.
            inputs: of the layer; None where the method does not need them.
        """
