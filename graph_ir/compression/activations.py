"""Ranges of activations, from what they were on calibration inputs.

The inputs are gone through twice: for the extremes of every tensor, then for its histogram. No
more is kept than one sample's tensors.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.method import Data
from graph_ir.compression.qdq import ACTIVATION_LEVELS, ActivationGrid, grid_of_range
from graph_ir.errors import InputError
from graph_ir.text import quoted

BINS = 2048
BEST = "best"
CHOICES = ("mse", "percentile", "minmax")
# Candidate ends of a range, as shares of the extreme.
_SHARES = np.linspace(1.0, 0.1, 46)
_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class RangeOptions:
    """How a range is taken from what was seen.

    Attributes:
        range: `minmax`, `percentile`, `mse` (the one with the least square error), or `best`:
            whichever of them gives the model's outputs the least error.
        percentile: share of the values, in percent, that each end leaves inside.

    Raises:
        InputError: another choice, or a percentile outside of (50, 100].
    """

    range: str = BEST
    percentile: float = 99.99

    def __post_init__(self) -> None:
        if self.range not in (BEST, *CHOICES):
            raise InputError(f"range={self.range}: expected one of {', '.join((BEST, *CHOICES))}")
        if not 50 < self.percentile <= 100:
            raise InputError(f"percentile={self.percentile:g}: expected more than 50, at most 100")


@dataclass(frozen=True, slots=True)
class Seen:
    """Values of one tensor on all samples.

    Attributes:
        low: smallest, at most 0.
        high: largest, at least 0.
        counts_B: of `BINS` equal parts of the range between.
    """

    low: float
    high: float
    counts_B: NDArray[np.int64]

    @property
    def centres_B(self) -> NDArray[np.float64]:
        """Middle of every part."""
        step = (self.high - self.low) / BINS
        return np.asarray(self.low + (np.arange(BINS) + 0.5) * step, np.float64)


def observe(model: ir.Model, names: Sequence[str], data: Data) -> dict[str, Seen]:
    """What tensors are on the calibration inputs.

    Args:
        model: run as it is.
        names: of float32 values.
        data: samples and an engine.

    Raises:
        InputError: one is not finite on a sample.
    """
    if not names:
        return {}
    execute = data.runner.open(model, names)
    low = dict.fromkeys(names, 0.0)
    high = dict.fromkeys(names, 0.0)
    for sample in data.samples:
        for name, values in execute(sample).items():
            smallest, largest = float(values.min(initial=0)), float(values.max(initial=0))
            if not (np.isfinite(smallest) and np.isfinite(largest)):
                raise InputError(
                    f"tensor {quoted(name)}: expected finite values on the calibration inputs, "
                    "got NaN or infinity"
                )
            low[name], high[name] = min(low[name], smallest), max(high[name], largest)
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    for sample in data.samples:
        for name, values in execute(sample).items():
            counts[name] += _histogram(values, low[name], high[name])
    return {name: Seen(low[name], high[name], counts[name]) for name in names}


def _histogram(values: NDArray[np.generic], low: float, high: float) -> NDArray[np.int64]:
    if high <= low:
        return np.zeros(BINS, np.int64)
    flat = values.reshape(-1).astype(np.float32)
    at = ((flat - np.float32(low)) * np.float32(BINS / (high - low))).astype(np.int64)
    return np.bincount(np.clip(at, 0, BINS - 1), minlength=BINS).astype(np.int64)


def grids_of(seen: Mapping[str, Seen], options: RangeOptions) -> dict[str, ActivationGrid]:
    """The grid of every tensor."""
    return {name: grid_of(tensor, options) for name, tensor in seen.items()}


def grid_of(seen: Seen, options: RangeOptions) -> ActivationGrid:
    """The grid of one tensor, by one of `CHOICES`."""
    if options.range == "minmax" or seen.high <= seen.low:
        return grid_of_range(seen.low, seen.high)
    if options.range == "percentile":
        return grid_of_range(*_percentile(seen, options.percentile))
    return grid_of_range(*_least_error(seen))


def _percentile(seen: Seen, percentile: float) -> tuple[float, float]:
    """The range that leaves the share inside at each end."""
    below_B = np.cumsum(seen.counts_B) / max(int(seen.counts_B.sum()), 1)
    step = (seen.high - seen.low) / BINS
    outside = 1 - percentile / 100
    first = int(np.searchsorted(below_B, outside, side="right"))
    last = int(np.searchsorted(below_B, 1 - outside, side="left"))
    return seen.low + first * step, seen.low + (min(last, BINS - 1) + 1) * step


def _least_error(seen: Seen) -> tuple[float, float]:
    """One end of the range after the other, each moved to where the square error is least."""
    low, high = seen.low, seen.high
    filled = seen.counts_B > 0
    values_B, counts_B = seen.centres_B[filled], seen.counts_B[filled].astype(np.float64)
    for _ in range(_ROUNDS):
        low = _best_end(((seen.low * s, high) for s in _ends(seen.low)), values_B, counts_B)[0]
        high = _best_end(((low, seen.high * s) for s in _ends(seen.high)), values_B, counts_B)[1]
    return low, high


def _ends(extreme: float) -> Iterable[float]:
    return [float(share) for share in _SHARES] if extreme else [1.0]


def _best_end(
    ranges: Iterable[tuple[float, float]],
    values_B: NDArray[np.float64],
    counts_B: NDArray[np.float64],
) -> tuple[float, float]:
    """The first of the ranges whose grid is nearest to the values."""
    best, least = (0.0, 0.0), np.inf
    for low, high in ranges:
        scale = (high - low) / ACTIVATION_LEVELS
        if scale <= 0:
            continue
        zero = np.clip(np.rint(-low / scale), 0, ACTIVATION_LEVELS)
        levels_B = np.clip(np.rint(values_B / scale) + zero, 0, ACTIVATION_LEVELS)
        error = float(counts_B @ np.square((levels_B - zero) * scale - values_B))
        if error < least:
            best, least = (low, high), error
    return best
