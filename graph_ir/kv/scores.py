"""What each position of a prompt scores with each KV head: what `graph_ir.kv.select` chooses by.

SnapKV (Li et al., arXiv 2404.14469, section 4): the last queries of the prompt, its observation
window, attend to all keys; what each earlier key gets, summed over these queries and over the query
heads of its KV head, is raised to the largest among its neighbours, so that what stands beside an
important position is kept, too.

Expected attention (Devoto et al., arXiv 2510.00636, section 3): queries before rotation are taken
for normally distributed, with mean m and covariance C over the prompt. Those of the next positions
are rotated by R, the mean of their rotations, so that a key k is expected to get
exp(s k.Rm + s^2/2 k.RCR'k), s the scale. This, as a share of what all keys get, the mean over
the query heads of a KV head and epsilon added, times the length of the value, is its score. A soft
cap of the logits is left out: with it the expectation has no closed form.

Suffixes: H KV heads of a group, G query heads of each, W observed queries, S positions, D width.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graph_ir.decoder.decoder import Attention
from graph_ir.kv.group import GroupShape
from graph_ir.kv.operator import State
from graph_ir.kv.scoring import OBSERVED, SINKS, Expected, Observed, Rotation, Scoring, Turn, turn
from graph_ir.kv.stored import caches_of, storages
from graph_ir.kv.writing import Writer

POOLED = 7
"""Neighbours among which the largest weight is taken, as published."""
FUTURE = 512
"""Positions behind the prompt whose rotations are averaged, as published."""

# More than all queries together can give.
ALWAYS, NEVER = 1e9, -1e9
_FLOAT = ir.DataType.FLOAT


class Scores:
    """Writes the scores of all attentions; masks are written once."""

    def __init__(self, writer: Writer, past: ir.Value, context: int, scoring: Scoring) -> None:
        """Args: where nodes go; length of the prompt, [1]; positions; what is scored by."""
        self._writer, self._past, self._context, self._scoring = writer, past, context, scoring
        self._turns: dict[Rotation, Turn | None] = {}
        position_S = writer.integers(range(context))
        inside_S = writer.op("Less", position_S, past)
        self._rest_S = writer.op("Where", inside_S, writer.number(ALWAYS), writer.number(NEVER))
        if isinstance(scoring, Expected):
            behind_S = writer.at_least(position_S, writer.integers([SINKS]))
            self._before_S = writer.op("And", inside_S, behind_S)
            self._bias = self._hidden(self._before_S)
            return
        begin = writer.op("Sub", past, writer.integers([OBSERVED]))
        # A prompt shorter than the window is kept whole: its weights only have to be numbers.
        query_W1 = writer.op("Add", begin, writer.constant(np.arange(OBSERVED)[:, None]))
        query_W1 = writer.op("Max", query_W1, writer.integers([0]))
        self._bias = self._hidden(writer.at_most(position_S, query_W1))
        self._before_S = writer.op("Less", position_S, begin)

    def _hidden(self, seen: ir.Value) -> ir.Value:
        writer = self._writer
        return writer.op("Where", seen, writer.number(0.0), writer.number(-np.inf))

    def of(
        self,
        index: int,
        group: GroupShape,
        queries: Sequence[ir.Value],
        states: Sequence[ir.Value],
    ) -> ir.Value:
        """Scores [1, H, S]: `ALWAYS` for what is kept anyway, `NEVER` for what is not there.

        Args:
            index: of the attention.
            group: of whose caches.
            queries: what the prompt's graph knows of the attention's, in order of its states.
            states: of the group, that keep everything.
        """
        own = [self._own_heads(group, value) for value in queries]
        if isinstance(self._scoring, Observed):
            scored = self._observed(group, own[0], states)
        else:
            scored = self._expected(group, self._scoring, index, own, states)
        return self._writer.op("Where", self._before_S, scored, self._rest_S)

    def _own_heads(self, group: GroupShape, value: ir.Value) -> ir.Value:
        """Of [1, query heads, N, D] those of a group, [1, H, G, N, D]."""
        writer, attention = self._writer, group.attention
        extents = [1, attention.kv_heads, group.queries, -1, attention.head_width]
        value = writer.reshape(value, extents)
        if group.heads == attention.kv_heads:
            return value
        return writer.gather(value, writer.integers(group.kept.heads), 1)

    def _observed(
        self, group: GroupShape, query_HGWD: ir.Value, states: Sequence[ir.Value]
    ) -> ir.Value:
        writer, heads, attention = self._writer, group.heads, group.attention
        rows = writer.op("Mul", query_HGWD, writer.number(attention.scale))
        extents = [1, heads, group.queries * OBSERVED, attention.head_width]
        rows = storages(group)[0].rotated(writer, writer.reshape(rows, extents))
        key = caches_of(group, states)[0]
        turned = {"perm": [0, 1, 3, 2]}
        keys = writer.op("Transpose", key.storage.decoded(writer, key.parts), attributes=turned)
        logits = writer.op("MatMul", rows, keys)
        if attention.softcap:
            limit = writer.number(attention.softcap)
            logits = writer.op("Mul", writer.op("Tanh", writer.op("Div", logits, limit)), limit)
        logits = writer.reshape(logits, [1, heads * group.queries, OBSERVED, self._context])
        logits = writer.op("Add", logits, self._bias)
        weights = writer.op("Softmax", logits, attributes={"axis": -1})
        summed = writer.reshape(weights, [1, heads, group.queries * OBSERVED, self._context])
        summed = writer.reshape(writer.reduce("ReduceSum", summed, 2), [1, heads, self._context])
        earlier = writer.op("Where", self._before_S, summed, writer.number(0.0))
        pooling = {"kernel_shape": [POOLED], "pads": [POOLED // 2] * 2, "strides": [1]}
        return writer.op("MaxPool", earlier, attributes=pooling)

    def _expected(
        self,
        group: GroupShape,
        scoring: Expected,
        index: int,
        statistics: Sequence[ir.Value],
        states: Sequence[ir.Value],
    ) -> ir.Value:
        writer, heads, scale = self._writer, group.heads, group.attention.scale
        width = group.attention.head_width
        key, value = caches_of(group, states)
        # Keys and lengths of values of one head are those of all its query heads.
        keys = key.storage.turned_back(writer, key.storage.decoded(writer, key.parts))
        keys = writer.reshape(keys, [1, heads, self._context, width])
        mean, spread = (
            writer.reshape(part, [heads * group.queries, 1, extent, width])
            for part, extent in zip(statistics, (1, width), strict=True)
        )
        count = writer.op("Sub", self._past, writer.integers([SINKS]))
        count = writer.cast(writer.op("Max", count, writer.integers([1])), _FLOAT)
        spread = writer.op("Div", spread, count)
        turned = self._turn(scoring.rotations[index])
        if turned is not None:
            mean = turned.of(writer, mean)
            for _ in range(2):  # rows, then columns, of what is its own transpose
                flipped = writer.op("Transpose", spread, attributes={"perm": [0, 1, 3, 2]})
                spread = turned.of(writer, flipped)
        extents = [1, heads, group.queries, width, width]
        mean = writer.reshape(mean, [1, heads, group.queries, width])
        flipped = writer.op("Transpose", keys, attributes={"perm": [0, 1, 3, 2]})
        first = writer.op("MatMul", mean, flipped)
        wide = writer.reshape(keys, [1, heads, 1, self._context, width])
        along = writer.op("MatMul", wide, writer.reshape(spread, extents))
        second = writer.reduce("ReduceSum", writer.op("Mul", along, wide), 4)
        second = writer.reshape(second, [1, heads, group.queries, self._context])
        logits = writer.op(
            "Add",
            writer.op("Mul", first, writer.number(scale)),
            writer.op("Mul", second, writer.number(scale * scale / 2)),
        )
        logits = writer.op("Add", logits, self._bias)
        weights = writer.op("Softmax", logits, attributes={"axis": -1})
        weights = writer.reduce("ReduceMean", weights, 2)
        weights = writer.op("Add", weights, writer.number(scoring.epsilon))
        lengths = self._lengths(group, value.storage.decoded(writer, value.parts))
        return writer.reshape(writer.op("Mul", weights, lengths), [1, heads, self._context])

    def _lengths(self, group: GroupShape, values: ir.Value) -> ir.Value:
        """Lengths of values, [1, H, 1, S]; turning them for storage has not changed them."""
        writer = self._writer
        squares = writer.reduce("ReduceSum", writer.op("Mul", values, values), 3)
        return writer.reshape(writer.op("Sqrt", squares), [1, group.heads, 1, self._context])

    def _turn(self, rotation: Rotation) -> Turn | None:
        if rotation not in self._turns:
            writer = self._writer
            ahead_N1 = writer.constant(np.arange(FUTURE)[:, None])
            position_N1 = writer.op("Add", self._past, ahead_N1)
            self._turns[rotation] = turn(writer, rotation, position_N1, back=False, mean=True)
        return self._turns[rotation]


def query_states(attention: Attention, scoring: Scoring) -> tuple[State, ...]:
    """What the prompt's graph knows of an attention's queries, in order."""
    heads, width = attention.query_heads, attention.head_width
    if isinstance(scoring, Observed):
        return (State("query", _FLOAT, (1, heads, OBSERVED, width)),)
    return (
        State("query_mean", _FLOAT, (1, heads, 1, width)),
        State("query_spread", _FLOAT, (1, heads, width, width)),
    )
