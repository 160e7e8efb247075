"""Low-rank correction: what rounding took from a weight, as two thin factors beside it.

LoRC (ZeroQuant-V2, arXiv 2303.08302, section 5; ZeroQuant-FP, arXiv 2307.09782): with E = W - Q and
its singular values, `x W ~ x Q + (x A) B` for A `[K, r]` and B `[r, N]`. Where the inputs of a
product are known, the factors are the best ones for its outputs instead of its weight:
`|x (E - A B)|` is smallest for the truncated decomposition of `S E`, S S^T being the gram matrix of
the inputs (with a damped diagonal). Factors are stored as float16, or as int8 with a scale for each
of the rank.

Measured on SmolLM2-135M with rtn in groups of 32, calibrated on four windows of other text
(perplexity over four windows of 256 tokens, float 17.47), rank 8, which adds 0.17 (int8) or 0.34
bits (fp16) a weight: 22.9 became 19.5 (fp16); with its stream rotated 30.1 became 19.7 (int8).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from graph_ir.compression.grid import F32, QuantizedWeight
from graph_ir.compression.lorc_emit import STORES, emit_factors
from graph_ir.compression.method import Correction, Data
from graph_ir.compression.stages import run_in_stages
from graph_ir.compression.statistics import input_statistics
from graph_ir.errors import InputError
from graph_ir.onnx_values import node_name, shape_of, value_name
from graph_ir.passes.base import PassResult

F64 = NDArray[np.float64]

_DAMPING = 0.01


@dataclass(frozen=True, slots=True)
class Lorc(Correction):
    """Low-rank correction of the rounding errors.

    Attributes:
        rank: of the correction; a weight that is no wider than twice the rank gets none.
        store: `fp16` or `int8`.
    """

    name: ClassVar[str] = "lorc"
    rank: int = 8
    store: str = "int8"

    def __post_init__(self) -> None:
        """Raises: InputError: a rank or store that there is none of."""
        if not 1 <= self.rank <= 1024:
            raise InputError(f"rank={self.rank}: expected 1 to 1024")
        if self.store not in STORES:
            raise InputError(f"store={self.store}: expected one of {', '.join(STORES)}")

    def correct(
        self,
        model: ir.Model,
        source: ir.Model,
        quantized: Mapping[str, tuple[F32, QuantizedWeight]],
        data: Data,
    ) -> PassResult:
        """See `Correction.correct`."""
        del source
        products = [node for node in model.graph if node_name(node) in quantized]
        groups: dict[ir.Value, list[ir.Node]] = {}
        for node in products:
            value = node.inputs[0]
            assert value is not None
            if min(quantized[node_name(node)][0].shape) > 2 * self.rank:
                groups.setdefault(value, []).append(node)
        factors: dict[str, tuple[F32, F32]] = {}
        stored_bits = 0
        for nodes, gram_KK in zip(
            groups.values(), self._grams(model, list(groups), data), strict=True
        ):
            # How a library splits its sums among threads would change the last bit.
            with threadpool_limits(1, user_api="blas"):
                for node in nodes:
                    weight_KN, stored = quantized[node_name(node)]
                    error_KN = weight_KN - stored.dequantized()
                    factors[node_name(node)] = low_rank(error_KN, gram_KK, self.rank)
        for node in products:
            if node_name(node) in factors:
                stored_bits += emit_factors(node, *factors[node_name(node)], self.store)
        return PassResult(
            len(factors),
            f"rank {self.rank} ({self.store}) beside {len(factors)} products, {stored_bits} bits",
        )

    def _grams(self, model: ir.Model, values: list[ir.Value], data: Data) -> Iterator[F64]:
        """Gram matrix of each value; that of independent channels where no real inputs are known.

        Those of the model without corrections: what they add is a small part of an input's error.
        """
        if not data.given:
            for value in values:
                yield np.eye(shape_of(value)[-1])
            return
        for value, arrays in zip(
            values, run_in_stages(model, values, data.samples, data.runner), strict=True
        ):
            with threadpool_limits(1, user_api="blas"):
                gram_KK = input_statistics(arrays).gram_KK
            if not np.isfinite(gram_KK).all():
                raise InputError(
                    f"lorc: value {value_name(value)}: expected finite values on the calibration "
                    "inputs, got NaN or infinity"
                )
            yield gram_KK


def low_rank(error_KN: F32, gram_KK: F64, rank: int) -> tuple[F32, F32]:
    """A `[K, r]` and B `[r, N]` with the smallest `|x (E - A B)|`.

    With V the first right singular vectors of `S^T E`, that is `A = E V` and `B = V^T`: of the
    gram matrix nothing is inverted. V comes from the smaller of two eigenproblems.

    Args:
        error_KN: E.
        gram_KK: mean of x x^T, which is S S^T.
        rank: r.
    """
    inner, columns = error_KN.shape
    wide_KN = error_KN.astype(np.float64)
    damped_KK = gram_KK + np.eye(inner) * max(_DAMPING * np.trace(gram_KK) / inner, 1e-12)
    if columns <= inner:
        right_Nr = _leading(wide_KN.T @ (damped_KK @ wide_KN), rank)
    else:
        lower_KK = np.linalg.cholesky(damped_KK)
        left_Kr = _leading(lower_KK.T @ (wide_KN @ wide_KN.T) @ lower_KK, rank)
        right_Nr = wide_KN.T @ (lower_KK @ left_Kr)
        right_Nr /= np.maximum(np.linalg.norm(right_Nr, axis=0), 1e-30)
    a_Kr, b_rN = wide_KN @ right_Nr, right_Nr.T
    # Both factors of one size by column and row, so that both are stored as exactly.
    size_r = np.sqrt(np.linalg.norm(a_Kr, axis=0))
    size_r = np.where(size_r > 0, size_r, 1.0)
    return (a_Kr / size_r).astype(np.float32), (b_rN * size_r[:, None]).astype(np.float32)


def _leading(symmetric: F64, rank: int) -> F64:
    """Eigenvectors of the largest eigenvalues, each with its largest entry positive."""
    vectors = np.linalg.eigh(symmetric)[1][:, ::-1][:, :rank]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(rank)]
    return np.asarray(vectors * np.where(largest < 0, -1.0, 1.0), np.float64)
