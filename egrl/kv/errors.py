"""What a window costs each KV head: the error of its output, measured on text.

Of some rows of a text every head's output is computed with all keys and with its sinks and last
keys only. The difference, through the output projection, beside the residual stream that it is
added to, is the head's error: what the layers after it see.

Shape suffixes: as in `egrl.kv.walk`; S sampled rows, C channels of the residual stream, W windows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from egrl.kv.walk import F32, Ids, LayerStates, Visitor, walk
from graph_ir.compression.method import Array, Runner
from graph_ir.decoder.decoder import Decoder
from graph_ir.onnx_values import value_name

SHARES = (1 / 32, 1 / 16, 3 / 32, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 3 / 4)
"""Windows that are measured, as shares of the text's length."""
SINKS = 4
SAMPLED = 256

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HeadErrors:
    """Errors of the KV heads.

    Attributes:
        shares: of the context, rising; windows of these widths were measured.
        errors: [layer][KV head][window], mean square of what the window changes in the residual
            stream, as a share of the stream's own.
    """

    shares: tuple[float, ...]
    errors: tuple[tuple[tuple[float, ...], ...], ...]


def measure_errors(decoder: Decoder, runner: Runner, ids_R: Ids, seed: int = 0) -> HeadErrors:
    """Measures all KV heads on a text.

    Args:
        decoder: it is not changed.
        runner: executes it.
        ids_R: the text; rows of its second half are looked at.
        seed: of which rows.

    Raises:
        InputError: the runner refuses the decoder.
    """
    rng = np.random.default_rng(seed)
    second_half = np.arange(len(ids_R) // 2, len(ids_R))
    count = min(SAMPLED, len(second_half))
    rows_S = np.sort(rng.choice(second_half, count, replace=False))
    found = _Errors(rows_S, len(ids_R))
    walk(decoder, runner, ids_R, found)
    return HeadErrors(SHARES, tuple(found.errors))


class _Errors(Visitor):
    """Errors layer by layer."""

    def __init__(self, rows_S: Ids, length: int) -> None:
        self.rows_S = rows_S
        self.windows = [max(1, round(share * length)) for share in SHARES]
        self.errors: list[tuple[tuple[float, ...], ...]] = []

    def layer(self, states: LayerStates, known: Mapping[str, Array]) -> None:
        """See `Visitor`."""
        attention = states.attention
        logits_HST = states.logits(self.rows_S)
        weights_HST = np.exp(logits_HST - logits_HST.max(axis=-1, keepdims=True))
        matrix, residual_SC = _through(states.node, known, self.rows_S)
        if matrix is None:
            matrix = np.eye(attention.query_heads * attention.value_width, dtype=np.float32)
        by_head = []
        for head in range(attention.kv_heads):
            group = slice(head * states.group, (head + 1) * states.group)
            matrix_GEC = matrix.reshape(attention.query_heads, attention.value_width, -1)[group]
            changed = self._changes(weights_HST[group], states.value_KRE[head])
            full_SC = _projected(changed[0], matrix_GEC)
            beside_S = np.square(full_SC if residual_SC is None else residual_SC).mean(axis=-1)
            by_head.append(
                tuple(
                    float((np.square(_projected(gap, matrix_GEC)).mean(-1) / beside_S).mean())
                    for gap in changed[1:]
                )
            )
        self.errors.append(tuple(by_head))

    def _changes(self, weights_GST: F32, value_TE: F32) -> list[F32]:
        """The exact output [G, S, E], then what each window changes in it."""
        ahead_ST = np.arange(len(value_TE))[None] - self.rows_S[:, None]
        sinks_ST = np.arange(len(value_TE))[None] < SINKS
        exact = weights_GST @ value_TE / weights_GST.sum(axis=-1, keepdims=True)
        result = [exact]
        for window in self.windows:
            kept_GST = weights_GST * ((ahead_ST > -window) | sinks_ST)
            result.append(kept_GST @ value_TE / kept_GST.sum(axis=-1, keepdims=True) - exact)
        return result


def _projected(output_GSE: F32, matrix_GEC: F32) -> F64:
    """What heads add to the residual stream, [S, C]."""
    added_SC: F32 = np.einsum("gse,gec->sc", output_GSE, matrix_GEC, optimize=True)
    return added_SC.astype(np.float64)


def _through(
    node: ir.Node, known: Mapping[str, Array], rows_S: Ids
) -> tuple[F32 | None, F32 | None]:
    """The output projection and the residual stream beside it; None for what is not found."""
    value, matrix = node.outputs[0], None
    for _ in range(8):
        users = [use.node for use in value.uses()]
        if len(users) != 1:
            break
        user = users[0]
        varying = [v for v in user.inputs if v is not None and v.const_value is None]
        if user.op_type in ("MatMul", "Gemm") and matrix is None:
            constant = user.inputs[1]
            if constant is None or constant.const_value is None:
                break
            matrix = constant.const_value.numpy().astype(np.float32)
            if user.attributes.get_int("transB", 0) == 1:
                matrix = matrix.T
        elif user.op_type == "Add" and len(varying) == 2 and matrix is not None:
            other = varying[1] if varying[0] is value else varying[0]
            beside = known.get(value_name(other))
            return matrix, None if beside is None else beside[0][rows_S].astype(np.float32)
        elif user.op_type not in ("Transpose", "Reshape", "Cast", "Identity", "Add", "Mul"):
            break
        value = user.outputs[0]
    return matrix, None
