"""Norm tweaking: the scales and biases of norms make up for part of what rounding changed.

Norm Tweaking (arXiv 2309.02784) freezes the quantized weights and trains the norms' parameters by
a few steps towards the float model's channel means and variances. Here the same parameters are
solved for: behind a norm stand products, whose outputs are linear in its scale and bias, so those
that bring the outputs closest to the float model's follow from one symmetric system a norm.

With X what the norm gives in the float model, Z the same without its bias, P = Q Q^T and M = W Q^T
(summed over the products, each divided by the mean square of its output), the scale is multiplied
by t and the bias moved by d:
`(E[Z^T Z] * P) t + diag(E[Z]) P d = diag(E[Z^T X] M)`, `*` by element, and likewise for d.

Z is the float model's, so that t answers for the rounded weights alone. With the quantized model's,
the least squares also answer for the noise in Z, by scales below 1 that add up over the layers.
Measured on SmolLM2-135M with rtn in groups of 32 (perplexity over four windows of 256 tokens,
float 17.47): 22.86 without tweaking, 22.85 so, 24.9 with the noisy Z, 23.5 where the deviation of
each channel is brought to the float model's. It brings nothing there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from graph_ir.compression.awq_fold import multiply
from graph_ir.compression.grid import F32, QuantizedWeight
from graph_ir.compression.method import Array, Correction, Data, GramStatistics
from graph_ir.compression.norm_tweak_sites import TweakedNorm, add_to, find_norms
from graph_ir.compression.stages import run_in_stages
from graph_ir.compression.statistics import input_statistics, output_square
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
        values = [of_source[value_name(norm.value)] for norm in norms]
        moved = 0.0
        for norm, arrays in zip(
            norms, run_in_stages(source, values, data.samples, data.runner), strict=True
        ):
            # How a library splits its sums among threads would change the last bit.
            with threadpool_limits(1, user_api="blas"):
                times_K, plus_K = self._solve(norm, arrays, quantized)
            moved += float(np.sqrt(np.mean((times_K - 1) ** 2)))
            multiply(norm.scale, times_K)
            if norm.bias is not None:
                add_to(norm.bias, plus_K)
        return PassResult(len(norms), f"{len(norms)} norms, scales by {moved / len(norms):.3g} rms")

    def _solve(
        self,
        norm: TweakedNorm,
        arrays: Sequence[Array],
        quantized: Mapping[str, tuple[F32, QuantizedWeight]],
    ) -> tuple[F64, F64]:
        """Factor and shift by channel; no shift where the norm has no bias."""
        bias_K = norm.bias_K()
        width = len(bias_K)
        moments = _moments(arrays, bias_K)
        if not np.isfinite(moments.wanted.gram_KK).all():
            raise InputError(
                f"norm-tweak: value {value_name(norm.value)}: expected finite values on the "
                "calibration inputs, got NaN or infinity"
            )
        product_KK, cross_KK = np.zeros((width, width)), np.zeros((width, width))
        for name in norm.readers:
            weight_KN, stored = quantized[name]
            square = output_square(moments.wanted, weight_KN)
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
        size = np.diag(system) + np.diag(system).mean()
        pull = self.tweak_damping * size + 1e-30
        solved = start + np.linalg.solve(system + np.diag(pull), target - system @ start)
        return solved[:width], solved[width:] if norm.bias is not None else np.zeros(width)


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """Means over rows, of z z^T, z x^T, z and x; x is z and the bias, its own are `wanted`."""

    normed_KK: F64
    cross_KK: F64
    wanted: GramStatistics
    normed_mean_K: F64
    wanted_mean_K: F64


def _moments(arrays: Sequence[Array], bias_K: F64) -> _Moments:
    width = len(bias_K)
    wanted = input_statistics(arrays)
    total_K = np.zeros(width)
    for array in arrays:
        total_K += np.asarray(array).reshape(-1, width).sum(axis=0, dtype=np.float64)
    mean_K = total_K / max(wanted.rows, 1)
    cross_KK = wanted.gram_KK - np.outer(bias_K, mean_K)
    normed_KK = cross_KK - np.outer(mean_K - bias_K, bias_K)
    return _Moments(normed_KK, cross_KK, wanted, mean_K - bias_K, mean_K)
