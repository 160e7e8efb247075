"""A weight in training: a float weight, seen by the model through its quantizer.

The gradient of the weight passes the rounding as if it were not there and does not pass the clamp.
The scale of a group has a gradient of its own: that of the quantizer's square error,
`2 sum (Q - w) round(w / s)` (MKQ-BERT, arXiv 2203.13483, section 3), or that of the loss,
`sum g (q - w / s)` (LSQ, Esser et al., arXiv 1902.08153, section 2.1).

Axes: K inner, N columns, G groups, S channels of a group.
"""

import numpy as np
import torch
from torch import Tensor

from graph_ir.compression.grid import F32, Grid, QuantizedWeight, grouped
from graph_ir.compression.methods.rtn import range_of_groups

SCALE_GRADIENTS = ("mse", "lsq")
_LEAST_FACTOR = 0.25
_MOST_FACTOR = 4.0


class FakeQuantized:
    """A trained weight; starts at round to nearest.

    Attributes:
        weight_GSN: trained.
        factor_GN: of the first scales; trained.
    """

    def __init__(self, weight_KN: F32, grid: Grid, scale_gradient: str = "mse") -> None:
        """Args: the weight, its grid, and which gradient scales have."""
        self._grid, self._from_loss = grid, scale_gradient == "lsq"
        self._inner, self._columns = weight_KN.shape
        scale_GN, zero_GN = range_of_groups(weight_KN, grid)
        self._first_GN = torch.from_numpy(scale_GN.astype(np.float32))
        self._zero_GN = None if zero_GN is None else torch.from_numpy(zero_GN.astype(np.float32))
        self.weight_GSN = torch.from_numpy(grouped(weight_KN, grid.group).copy())
        self.factor_GN = torch.ones_like(self._first_GN)

    def quantized_KN(self) -> Tensor:
        """What the model multiplies with."""
        levels_GSN, _ = self._levels()
        seen_GSN = self._centred(levels_GSN) * self._scale_GN()[:, None]
        return seen_GSN.reshape(-1, self._columns)[: self._inner]

    def gradients(self, gradient_KN: Tensor) -> tuple[Tensor, Tensor]:
        """Of the weight `[G, S, N]` and of the factors `[G, N]`.

        Args:
            gradient_KN: of the loss, with respect to `quantized_KN`.
        """
        rows = self.weight_GSN.shape[0] * self.weight_GSN.shape[1] - self._inner
        if rows:
            gradient_KN = torch.cat((gradient_KN, gradient_KN.new_zeros(rows, self._columns)))
        gradient_GSN = gradient_KN.reshape(self.weight_GSN.shape)
        levels_GSN, inside_GSN = self._levels()
        steps_GSN = self._centred(levels_GSN)
        scale_GN = self._scale_GN()
        passed_GSN = gradient_GSN.masked_fill(~inside_GSN, 0.0)
        if self._from_loss:
            exact_GSN = self.weight_GSN / scale_GN[:, None]
            by_scale_GN = (gradient_GSN * steps_GSN - passed_GSN * exact_GSN).sum(1)
        else:
            error_GSN = steps_GSN * scale_GN[:, None] - self.weight_GSN
            by_scale_GN = 2 * (error_GSN * steps_GSN).sum(1)
        return passed_GSN, by_scale_GN * self._first_GN

    def clamp_factors(self) -> None:
        """Keeps scales of the sign and the magnitude that they began with."""
        self.factor_GN.clamp_(_LEAST_FACTOR, _MOST_FACTOR)

    def result(self) -> QuantizedWeight:
        """As it is now."""
        levels_GSN, _ = self._levels()
        levels = levels_GSN.reshape(-1, self._columns)[: self._inner].numpy()
        return QuantizedWeight(
            self._grid,
            levels.astype(np.int8) if self._grid.symmetric else levels.astype(np.uint8),
            self._scale_GN().numpy().astype(np.float16),
            None if self._zero_GN is None else self._zero_GN.numpy().astype(np.uint8),
        )

    def _scale_GN(self) -> Tensor:
        """As float16 holds it; the first one where that would be 0 or infinite."""
        stored_GN = (self._first_GN * self.factor_GN).half().float()
        usable_GN = (stored_GN != 0) & torch.isfinite(stored_GN)
        return torch.where(usable_GN, stored_GN, self._first_GN)

    def _levels(self) -> tuple[Tensor, Tensor]:
        """Integers, and which of them the clamp did not change."""
        steps_GSN = self.weight_GSN / self._scale_GN()[:, None]
        if self._zero_GN is not None:
            steps_GSN = steps_GSN + self._zero_GN[:, None]
        rounded_GSN = torch.round(steps_GSN)
        levels_GSN = torch.clamp(rounded_GSN, self._grid.lowest, self._grid.highest)
        return levels_GSN, levels_GSN == rounded_GSN

    def _centred(self, levels_GSN: Tensor) -> Tensor:
        return levels_GSN if self._zero_GN is None else levels_GSN - self._zero_GN[:, None]
