"""Mean and spread of a prompt's queries as they are before rotation: states beside its caches.

Expected attention (Devoto et al., arXiv 2510.00636, section 3) takes queries to come for draws from
the distribution of those of the prompt, which it needs the mean and the covariance of. Both are of
all queries but those of the first positions, and are added up chunk by chunk around the mean of
each chunk (Chan et al. 1979), so that large means, as biases make them, take away no precision.

Suffixes: Q query heads, R rows, D head width.
"""

import numpy as np
import onnx_ir as ir

from graph_ir.kv.scoring import FLOAT, SINKS, Expected, Rotation, Turn, turn
from graph_ir.kv.slots import Step


class Statistics:
    """Adds a step's queries to the statistics of attentions."""

    def __init__(self, step: Step, scoring: Expected) -> None:
        """Args: with whose writer nodes are written; what the rotation of each attention is."""
        writer = self._writer = step.writer
        self._scoring, self._position_R1 = scoring, step.position_R1
        self._turns: dict[Rotation, Turn | None] = {}
        sinks, one = writer.integers([SINKS]), writer.number(1.0)
        self._counts_R1 = writer.at_least(step.position_R1, sinks)
        if step.valid_R1 is not None:
            self._counts_R1 = writer.op("And", self._counts_R1, step.valid_R1)
        self._ones_1R = writer.constant(np.ones((1, step.rows), np.float32))
        old, total = (
            writer.cast(
                writer.op("Max", writer.op("Sub", position, sinks), writer.integers([0])), FLOAT
            )
            for position in (step.past, step.end())
        )
        new = writer.op("Sub", total, old)
        self._new = writer.op("Max", new, one)
        total = writer.op("Max", total, one)
        self._share = writer.op("Div", new, total)
        self._between = writer.op("Mul", old, self._share)

    def added(self, index: int, before: list[ir.Value], query_QRD: ir.Value) -> list[ir.Value]:
        """The statistics of an attention with the rows that count.

        Args:
            index: of the attention.
            before: the mean, [1, Q, 1, D], and the sum of the outer products of what is left of
                queries without it, [1, Q, D, D].
            query_QRD: of the step, rotated.
        """
        writer, zero = self._writer, self._writer.number(0.0)
        mean, spread = before
        turned = self._turn(self._scoring.rotations[index])
        if turned is not None:
            query_QRD = turned.of(writer, query_QRD)
        rows = writer.op("Where", self._counts_R1, query_QRD, zero)
        own = writer.op("Div", writer.op("MatMul", self._ones_1R, rows), self._new)
        gap = writer.op("Sub", own, mean)
        left = writer.op("Where", self._counts_R1, writer.op("Sub", rows, own), zero)
        flip = {"perm": [0, 1, 3, 2]}
        inside = writer.op("MatMul", writer.op("Transpose", left, attributes=flip), left)
        outer = writer.op("MatMul", writer.op("Transpose", gap, attributes=flip), gap)
        return [
            writer.op("Add", mean, writer.op("Mul", gap, self._share)),
            writer.op(
                "Add", writer.op("Add", spread, inside), writer.op("Mul", outer, self._between)
            ),
        ]

    def _turn(self, rotation: Rotation) -> Turn | None:
        if rotation not in self._turns:
            self._turns[rotation] = turn(self._writer, rotation, self._position_R1, back=True)
        return self._turns[rotation]
