"""Rounding and range of one weight, learned by the sign of its gradient (SignRound).

`q = clamp(round(W / s + V) + z)`, V in [-1/2, 1/2]; the range of a group shrinks or grows by
factors. The gradient passes the rounding as if it were not there, and does not pass the clamp.

Axes: G groups, S channels of a group, N columns.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graph_ir.compression.grid import F32, Grid, QuantizedWeight, grouped
from graph_ir.compression.methods.rtn import range_of_groups

LEAST_FACTOR = 0.5
MOST_FACTOR = 1.2

State = tuple[Tensor, ...]


class LearnedRounding:
    """The quantized form of a weight, as a function of what is learned.

    Symmetric grids learn V and one factor of a group's (signed) scale; asymmetric ones V and two
    factors, of its lowest and its highest value.
    """

    def __init__(self, weight_KN: F32, grid: Grid) -> None:
        """Starts at round to nearest."""
        self._grid = grid
        self._inner, self._columns = weight_KN.shape
        self._weight_GSN = torch.from_numpy(grouped(weight_KN, grid.group))
        groups = self._weight_GSN.shape[0]
        self.offset_GSN = torch.zeros_like(self._weight_GSN)
        scale_GN, _ = range_of_groups(weight_KN, grid)
        self._scale_GN = torch.from_numpy(scale_GN.astype(np.float32))
        if grid.symmetric:
            self._ends: tuple[Tensor, ...] = (self._scale_GN,)
        else:
            low, high = self._weight_GSN.amin(1), self._weight_GSN.amax(1)
            self._ends = (torch.clamp(low, max=0.0), torch.clamp(high, min=0.0))
        self.factors = tuple(torch.ones(groups, self._columns) for _ in self._ends)

    def weight_KN(self) -> Tensor:
        """The weight on its grid."""
        scale_GN, zero_GN = self._range()
        _, levels = self._levels(scale_GN, zero_GN)
        if zero_GN is not None:
            levels -= zero_GN[:, None]
        levels *= scale_GN[:, None]
        return levels.reshape(-1, self._columns)[: self._inner]

    def step(self, gradient_KN: Tensor, rate: float) -> None:
        """Moves V and the factors against the signs of their gradients.

        Args:
            gradient_KN: of the loss, with respect to `weight_KN`.
            rate: how far.
        """
        offset, *factors = self.gradients(gradient_KN)
        self.offset_GSN.add_(torch.sign(offset), alpha=-rate).clamp_(-0.5, 0.5)
        for factor_GN, gradient_GN in zip(self.factors, factors, strict=True):
            factor_GN.add_(torch.sign(gradient_GN), alpha=-rate)
            factor_GN.clamp_(LEAST_FACTOR, MOST_FACTOR)

    def gradients(self, gradient_KN: Tensor) -> tuple[Tensor, ...]:
        """Of the loss, with respect to V `[G, S, N]` and each of the factors `[G, N]`."""
        missing = self._weight_GSN.numel() - gradient_KN.numel()
        if missing:
            rows = missing // self._columns
            gradient_KN = torch.cat((gradient_KN, gradient_KN.new_zeros(rows, self._columns)))
        gradient_GSN = gradient_KN.reshape(self._weight_GSN.shape)
        scale_GN, zero_GN = self._range()
        rounded_GSN, levels_GSN = self._levels(scale_GN, zero_GN)
        above_GSN, below_GSN = rounded_GSN > self._grid.highest, rounded_GSN < self._grid.lowest
        outside_GSN = above_GSN | below_GSN
        inside_GSN = gradient_GSN.masked_fill(outside_GSN, 0.0)
        offset_GSN = inside_GSN * scale_GN[:, None]
        if zero_GN is not None:
            levels_GSN -= zero_GN[:, None]
        # Of the scale: inside q - W / s, beyond the clamp q.
        by_scale_GN = (inside_GSN * (levels_GSN - self._weight_GSN / scale_GN[:, None])).sum(1)
        if zero_GN is None:
            by_scale_GN += (gradient_GSN * levels_GSN).masked_fill(~outside_GSN, 0.0).sum(1)
            return offset_GSN, by_scale_GN * self._ends[0]
        # The scale is a share of the range; beyond the clamp the weight is an end of the range.
        share_GN = by_scale_GN / self._grid.highest
        low_GN = gradient_GSN.masked_fill(~below_GSN, 0.0).sum(1) - share_GN
        high_GN = gradient_GSN.masked_fill(~above_GSN, 0.0).sum(1) + share_GN
        return offset_GSN, low_GN * self._ends[0], high_GN * self._ends[1]

    def state(self) -> State:
        """A copy of what is learned."""
        return tuple(tensor.clone() for tensor in (self.offset_GSN, *self.factors))

    def restore(self, state: State) -> None:
        """What was learned, back again."""
        for tensor, saved in zip((self.offset_GSN, *self.factors), state, strict=True):
            tensor.copy_(saved)

    def quantized(self) -> QuantizedWeight:
        """The result."""
        scale_GN, zero_GN = self._range()
        _, levels_GSN = self._levels(scale_GN, zero_GN)
        levels: NDArray[np.float32] = levels_GSN.reshape(-1, self._columns)[: self._inner].numpy()
        return QuantizedWeight(
            self._grid,
            levels.astype(np.int8) if self._grid.symmetric else levels.astype(np.uint8),
            scale_GN.numpy().astype(np.float16),
            None if zero_GN is None else zero_GN.numpy().astype(np.uint8),
        )

    def _range(self) -> tuple[Tensor, Tensor | None]:
        """Scales, as float16 holds them, and zero points."""
        if self._grid.symmetric:
            return self._stored(self._ends[0] * self.factors[0]), None
        low_GN, high_GN = (
            end * factor for end, factor in zip(self._ends, self.factors, strict=True)
        )
        scale_GN = self._stored((high_GN - low_GN) / self._grid.highest)
        zero_GN = torch.round(-low_GN / scale_GN)
        return scale_GN, torch.clamp(zero_GN, 0, self._grid.highest)

    def _stored(self, scale_GN: Tensor) -> Tensor:
        """As float16, the first scale where that would be 0 or infinite."""
        stored_GN = scale_GN.half().float()
        usable_GN = (stored_GN != 0) & torch.isfinite(stored_GN)
        return torch.where(usable_GN, stored_GN, self._scale_GN)

    def _levels(self, scale_GN: Tensor, zero_GN: Tensor | None) -> tuple[Tensor, Tensor]:
        """Integers before and after the clamp."""
        steps_GSN = self._weight_GSN / scale_GN[:, None]
        steps_GSN += self.offset_GSN
        if zero_GN is not None:
            steps_GSN += zero_GN[:, None]
        rounded_GSN = steps_GSN.round_()
        return rounded_GSN, torch.clamp(rounded_GSN, self._grid.lowest, self._grid.highest)
