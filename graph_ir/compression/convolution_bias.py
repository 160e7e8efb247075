"""Bias correction: a convolution's mean result stays what it was (Nagel et al. 2019, section 4.2).

Rounding a weight of few taps shifts the mean of a channel: with inputs of mean `E[x]` the shift is
`(W_q E[x_q] - W E[x])`, summed over the taps, which is taken off the bias. The means are those of
the calibration inputs, exact ones and rounded ones, so that what clipping loses is made up for as
well. Borders, where padding meets taps, count like the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.grid import F32
from graph_ir.compression.method import Data
from graph_ir.compression.qdq import ActivationGrid


@dataclass(frozen=True, slots=True)
class MeanInput:
    """Means of a convolution's input, by channel.

    Attributes:
        exact_C: of the values.
        rounded_C: of the values on their grid.
    """

    exact_C: NDArray[np.float64]
    rounded_C: NDArray[np.float64]


def mean_inputs(
    model: ir.Model, grids: Mapping[str, ActivationGrid | None], data: Data
) -> dict[str, MeanInput]:
    """Means over the calibration inputs.

    Args:
        model: run as it is.
        grids: of the tensors, by name; None for one that is not rounded. Channels are axis 1.
        data: samples and an engine.
    """
    if not grids:
        return {}
    execute = data.runner.open(model, list(grids))
    exact: dict[str, NDArray[np.float64]] = {}
    rounded: dict[str, NDArray[np.float64]] = {}
    for sample in data.samples:
        for name, array in execute(sample).items():
            values = array.astype(np.float32)
            exact[name] = exact.get(name, 0.0) + _by_channel(values)
            grid = grids[name]
            if grid is not None:
                values = grid.rounded(values)
            rounded[name] = rounded.get(name, 0.0) + _by_channel(values)
    count = len(data.samples)
    return {name: MeanInput(exact[name] / count, rounded[name] / count) for name in grids}


def _by_channel(values: F32) -> NDArray[np.float64]:
    """Mean over all axes but the second."""
    axes = (0, *range(2, values.ndim))
    return np.asarray(values.mean(axis=axes, dtype=np.float64))


def mean_shift(weight: F32, quantized: F32, inputs: MeanInput, groups: int) -> F32:
    """By how much a convolution's mean result grows, `[Cout]`.

    Args:
        weight: `[Cout, Cin / groups, taps...]`.
        quantized: of the same shape.
        inputs: of all `Cin` channels.
        groups: of the convolution.
    """
    channels = weight.shape[0]
    before = weight.reshape(groups, channels // groups, weight.shape[1], -1).sum(-1, np.float64)
    after = quantized.reshape(groups, channels // groups, weight.shape[1], -1).sum(-1, np.float64)
    exact, rounded = (mean.reshape(groups, -1, 1) for mean in (inputs.exact_C, inputs.rounded_C))
    return np.asarray((after @ rounded - before @ exact).reshape(channels), np.float32)
