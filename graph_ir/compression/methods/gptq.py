"""GPTQ (arXiv 2210.17323): rounds a weight row by row, what is left over goes into the later rows.

Minimises the error of the layer's output on the calibration inputs, tr(E^T H E) with E = W - Q and
H = X^T X / rows + damping. Rows are taken in order of falling diag H; with U the upper Cholesky
factor of H^-1, row i is rounded and (w_i - q_i) / U_ii * U_ij is taken from every later row j
(sections 3.2 to 3.4, blocks of rows so that most of it is a matrix product).

Scales are fixed before (groups stay consecutive in K). Two things beyond the paper:

- The scale of a group is searched: the one with the smallest sum of (w - q)^2 / U_ii^2, which is
  the part of the objective that GPTQ adds when it comes to row i.
- Afterwards the integers and the scales are improved in turn, see `refine`.

And one that differs: the damping falls with the number of rows seen, see `chosen_damping`.

Axes: K inner, N columns, G groups, B rows of a block. Columns are independent of each other.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from graph_ir.compression.grid import F32, Grid, QuantizedWeight, side_by_side
from graph_ir.compression.method import GramStatistics, InputStatistics, WeightMethod
from graph_ir.compression.methods.refine import as_integers, refine
from graph_ir.compression.methods.scale_search import searched_range
from graph_ir.errors import InputError

_BLOCK_ROWS = 128
# Columns at a time: bounds the memory that a classifier head takes.
_COLUMNS = 4096


@dataclass(frozen=True, slots=True)
class Gptq(WeightMethod):
    """Rounding with error feedback through the Hessian of the layer's output."""

    name: ClassVar[str] = "gptq"
    needs_inputs: ClassVar[bool] = True

    damping: float = 0.0
    search: int = 32
    sweeps: int = 2

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.damping <= 10:
            raise InputError(
                f"damping={self.damping:g}: expected 0 (chosen by the rows seen) or up to 10"
            )
        if self.search < 0 or self.sweeps < 0:
            raise InputError(f"search={self.search}, sweeps={self.sweeps}: expected 0 or more")

    def quantize(
        self, weight_KN: F32, grid: Grid, inputs: InputStatistics | None
    ) -> QuantizedWeight:
        """See `WeightMethod.quantize`."""
        assert isinstance(inputs, GramStatistics)
        damping = self.damping or chosen_damping(len(weight_KN), inputs.rows)
        hessian_KK = damped(inputs.gram_KK, damping)
        order_K = np.argsort(-np.diag(hessian_KK), kind="stable")
        upper_KK = inverse_factor(hessian_KK[np.ix_(order_K, order_K)])
        importance_K = np.empty(len(order_K), np.float32)
        importance_K[order_K] = 1 / np.square(np.diag(upper_KK))
        parts = []
        for start in range(0, weight_KN.shape[1], _COLUMNS):
            part_KN = np.ascontiguousarray(weight_KN[:, start : start + _COLUMNS])
            scale_GN, zero_GN = searched_range(part_KN, grid, importance_K, self.search)
            levels_KN = feedback(part_KN, grid, scale_GN, zero_GN, order_K, upper_KK)
            rough = QuantizedWeight(grid, levels_KN, scale_GN, zero_GN)
            parts.append(refine(part_KN, rough, hessian_KK, self.sweeps))
        return side_by_side(parts)


def chosen_damping(inner: int, rows: int) -> float:
    """0.3 sqrt(K / rows), between 0.01 and 1.

    The fewer rows, the more of the Hessian is chance, and the more of what is gained on it is
    lost on other inputs; rows that follow each other in a text are alike, so that they count for
    fewer. On held-out text the best of 0.01 to 0.8 for a rotated SmolLM2's value, output and down
    projections was 0.4 to 0.8 at K / rows of 9 and 2.25, 0.1 to 0.8 at 0.56, 0.4 at 0.38, 0.03 to
    0.2 at 0.14; this rule is within 4 % of each. The paper's 0.01 was up to 50 % worse in output
    error; with 256 and 1024 rows worse than rounding to nearest for two of the three.
    """
    return float(min(max(0.3 * np.sqrt(inner / max(rows, 1)), 0.01), 1.0))


def damped(gram_KK: NDArray[np.float64], damping: float) -> NDArray[np.float64]:
    """The Hessian with a share of its mean diagonal added.

    A channel that was always 0 gets a unit diagonal: it is rounded to nearest, and neither gives
    nor takes error. (The paper's code sets its weights to 0, which nothing but the calibration
    inputs would justify.)
    """
    hessian_KK = gram_KK.copy()
    diagonal_K = np.diag(gram_KK)
    mean = float(diagonal_K.mean())
    np.fill_diagonal(hessian_KK, np.where(diagonal_K > 0, diagonal_K, 1.0) + damping * mean)
    return hessian_KK


def inverse_factor(hessian_KK: NDArray[np.float64]) -> NDArray[np.float64]:
    """U, upper triangular with U^T U = H^-1.

    From H = R R^T with R upper triangular (the Cholesky factor of H turned around, turned
    around), U = R^-1: one factorisation, and H is never inverted.
    """
    turned_KK = np.linalg.cholesky(hessian_KK[::-1, ::-1])[::-1, ::-1]
    return np.triu(np.linalg.inv(turned_KK))


def feedback(
    weight_KN: F32,
    grid: Grid,
    scale_GN: NDArray[np.float16],
    zero_GN: NDArray[np.uint8] | None,
    order_K: NDArray[np.int64],
    upper_KK: NDArray[np.float64],
) -> NDArray[np.int8] | NDArray[np.uint8]:
    """Integers, row by row in the order given.

    Args:
        weight_KN: to quantize.
        grid: of the integers.
        scale_GN: of groups of consecutive rows.
        zero_GN: None on a symmetric grid.
        order_K: rows in the order in which they are rounded.
        upper_KK: float64, in that order; see `inverse_factor`.
    """
    inner, columns = weight_KN.shape
    rest_KN = weight_KN[order_K]
    # Divided by its diagonal: what a unit of error in row i takes from row j.
    step_KK = (upper_KK / np.diag(upper_KK)[:, None]).astype(np.float32)
    wide_GN = scale_GN.astype(np.float32)
    offset_GN = np.zeros_like(wide_GN) if zero_GN is None else zero_GN.astype(np.float32)
    levels_KN = np.empty((inner, columns), np.float32)
    for start in range(0, inner, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, inner)
        error_BN = np.empty((stop - start, columns), np.float32)
        for row in range(start, stop):
            at = int(order_K[row])
            group = at // grid.group
            scale_N, offset_N = wide_GN[group], offset_GN[group]
            level_N = np.rint(rest_KN[row] / scale_N + offset_N)
            np.clip(level_N, grid.lowest, grid.highest, out=level_N)
            levels_KN[at] = level_N
            error_N = rest_KN[row] - (level_N - offset_N) * scale_N
            error_BN[row - start] = error_N
            rest_KN[row + 1 : stop] -= step_KK[row, row + 1 : stop, None] * error_N
        rest_KN[stop:] -= step_KK[start:stop, stop:].T @ error_BN
    return as_integers(levels_KN, grid)
