"""Norm tweaking: the scales and biases of norms make up for part of what rounding changed.

Norm Tweaking (arXiv 2309.02784) freezes the quantized weights and trains the norms' parameters by
a few steps towards the float model's channel means and variances. Here the same parameters are
solved for: behind a norm stand products, whose outputs are linear in its scale and bias, so those
that bring the outputs closest to the float model's, in least squares over the calibration rows,
follow from one symmetric system a norm. Norm by norm from the first to the last, each with what
the quantized and tweaked layers before it give.

With `Z` what the norm gives without its bias, P = Q Q^T and M = W Q^T (summed over the products,
each divided by the mean square of its output), the scale is multiplied by t and the bias moved by
d: `(E[Z^T Z] * P) t + diag(E[Z]) P d = diag(E[Z^T X] M)`, `*` by element, X the float input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.awq_fold import multiply
from graph_ir.compression.grid import F32, QuantizedWeight
from graph_ir.compression.method import Array, Correction, Data
from graph_ir.compression.norm_tweak_sites import TweakedNorm, add_to, find_norms
from graph_ir.compression.stages import run_in_stages
from graph_ir.compression.statistics import output_square
from graph_ir.errors import InputError
from graph_ir.onnx_values import value_name
from graph_ir.passes.base import PassResult

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NormTweak(Correction):
    """Norms solved for, so that the products behind them give what they gave.

    Attributes:
        tweak_damping: pull towards the norms as they are, as a share of the system's mean diagonal.
    """

    name: ClassVar[str] = "norm-tweak"
    tweak_damping: float = 0.1

    def __post_init__(self) -> None:
        """Raises: InputError: the damping is not positive."""
        if not 0 < self.tweak_damping <= 1e6:
            raise InputError(f"tweak-damping={self.tweak_damping:g}: expected more than 0")

    def correct(
        self,
        model: ir.Model,
        source: ir.Model,
        quantized: Mapping[str, tuple[F32, QuantizedWeight]],
        data: Data,
    ) -> PassResult:
        """See `Correction.correct`.

        Raises:
            InputError: no norm whose products are all known; a correction before this one may
                have put others beside them.
        """
        norms = find_norms(model.graph, quantized)
        if not norms:
            raise InputError(
                "norm-tweak: expected a norm that is read by quantized products alone, got none "
                "(lorc has to stand behind norm-tweak)"
            )
        of_source = {value_name(v): v for node in source.graph for v in node.outputs}
        ours = run_in_stages(model, [norm.value for norm in norms], data.samples, data.runner)
        theirs = run_in_stages(
            source,
            [of_source[value_name(norm.value)] for norm in norms],
            data.samples,
            data.runner,
        )
        moved = 0.0
        for norm, got, wanted in zip(norms, ours, theirs, strict=True):
            bias_K = norm.bias_K()
            times_K, plus_K = self._solve(norm, got, wanted, quantized)
            moved += float(np.sqrt(np.mean((times_K - 1) ** 2)))
            multiply(norm.scale, times_K)
            if norm.bias is not None:
                add_to(norm.bias, plus_K)
            # What was computed with the norm as it was is kept for later stages: bring it along.
            for array in got:
                _tweak_in_place(array, bias_K, times_K, plus_K)
        return PassResult(len(norms), f"{len(norms)} norms, scales by {moved / len(norms):.3g} rms")

    def _solve(
        self,
        norm: TweakedNorm,
        got: Sequence[Array],
        wanted: Sequence[Array],
        quantized: Mapping[str, tuple[F32, QuantizedWeight]],
    ) -> tuple[F64, F64]:
        """Factor and shift by channel; no shift where the norm has no bias."""
        bias_K = norm.bias_K()
        width = len(bias_K)
        moments = _moments(got, wanted, bias_K)
        product_KK, cross_KK = np.zeros((width, width)), np.zeros((width, width))
        for name in norm.readers:
            weight_KN, stored = quantized[name]
            square = output_square(moments.wanted_KK, weight_KN)
            if square <= 0:
                continue
            rounded_KN = stored.dequantized()
            product_KK += (rounded_KN @ rounded_KN.T).astype(np.float64) / square
            cross_KK += (weight_KN @ rounded_KN.T).astype(np.float64) / square
        system = moments.normed_KK * product_KK
        target = np.einsum("ck,kc->c", moments.cross_KK, cross_KK)
        target -= moments.normed_mean_K * (bias_K @ product_KK)
        start = np.ones(width)
        if norm.bias is not None:
            mixed_KK = moments.normed_mean_K[:, None] * product_KK
            system = np.block([[system, mixed_KK], [mixed_KK.T, product_KK]])
            shift_K = moments.wanted_mean_K @ cross_KK - bias_K @ product_KK
            target = np.concatenate([target, shift_K])
            start = np.concatenate([start, np.zeros(width)])
        pull = self.tweak_damping * np.diag(system) + 1e-12 * max(np.diag(system).max(), 1e-30)
        solved = start + np.linalg.solve(system + np.diag(pull), target - system @ start)
        return solved[:width], solved[width:] if norm.bias is not None else np.zeros(width)


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """Means over rows: of z z^T, z x^T, x x^T, z and x."""

    normed_KK: F64
    cross_KK: F64
    wanted_KK: F64
    normed_mean_K: F64
    wanted_mean_K: F64


def _moments(got: Sequence[Array], wanted: Sequence[Array], bias_K: F64) -> _Moments:
    width, rows = len(bias_K), 0
    squares = [np.zeros((width, width)) for _ in range(3)]
    sums = [np.zeros(width) for _ in range(2)]
    for ours, theirs in zip(got, wanted, strict=True):
        z_RK = np.asarray(ours, np.float32).reshape(-1, width) - bias_K.astype(np.float32)
        x_RK = np.asarray(theirs, np.float32).reshape(-1, width)
        pairs = ((z_RK, z_RK), (z_RK, x_RK), (x_RK, x_RK))
        for total, (left, right) in zip(squares, pairs, strict=True):
            total += (left.T @ right).astype(np.float64)
        sums[0] += z_RK.sum(axis=0, dtype=np.float64)
        sums[1] += x_RK.sum(axis=0, dtype=np.float64)
        rows += len(z_RK)
    means = [total / max(rows, 1) for total in (*squares, *sums)]
    return _Moments(means[0], means[1], means[2], means[3], means[4])


def _tweak_in_place(array: Array, bias_K: F64, times_K: F64, plus_K: F64) -> None:
    tweaked = (array.astype(np.float64) - bias_K) * times_K + bias_K + plus_K
    array[...] = tweaked.astype(array.dtype)
