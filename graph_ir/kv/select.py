"""Which positions of a prompt each KV head keeps: the graph between the prompt and the tokens.

SnapKV (Li et al., arXiv 2404.14469, section 4): the last queries of the prompt, its observation
window, attend to all keys; what each earlier key gets, summed over these queries and over the query
heads of its KV head, is raised to the largest among its neighbours (so that what stands beside an
important position is kept, too), and the positions that got most are kept beside the window.

Inputs: `past_length` int64 [1], length of the prompt, and the states of `step.prompt_graph`.
Outputs: the states of `step.step_graph` as they are when the prompt has been read, and `dropped`
int64 [1], how many of its positions they lack. Chosen positions are in rising order; what is behind
them is zeros. Keys are stored rotated, so that they need not know where they stood. A prompt of no
more than `keep` positions is kept whole.

Suffixes: H KV heads of a group, G query heads of each, W observed queries, S positions, K slots.
"""

import numpy as np
import onnx_ir as ir

from graph_ir.decoder.decoder import Attention, Decoder
from graph_ir.errors import InputError
from graph_ir.kv.group import GroupShape
from graph_ir.kv.layout import HeadGroup, KvLayout, prompt_layout
from graph_ir.kv.observed import OBSERVED
from graph_ir.kv.operator import State, group_states
from graph_ir.kv.static_body import DROPPED, PAST, PROMPT_PREFIX, integer_input
from graph_ir.kv.stored import caches_of, storages
from graph_ir.kv.writing import Writer
from graph_ir.static_shapes import make_static

POOLED = 7
"""Neighbours among which the largest weight is taken, as published."""

_OPSET = 18
_IR_VERSION = 10
# More than all queries together can give.
_ALWAYS, _NEVER = 1e9, -1e9


def select_graph(decoder: Decoder, layout: KvLayout) -> ir.Model:
    """The graph; it is of standard operators and has static shapes.

    Args:
        decoder: whose caches they are.
        layout: in which positions are chosen; more of them than are observed.

    Raises:
        InputError: nothing is chosen, or no more than the observed positions.
    """
    if layout.keep <= OBSERVED:
        raise InputError(
            f"keep: expected more than the {OBSERVED} positions of the observation window, "
            f"got {layout.keep}"
        )
    select = _Select(layout)
    for index, (attention, groups) in enumerate(zip(decoder.layers, layout.layers, strict=True)):
        select.attention(index, attention, groups)
    return select.model(decoder.source_path)


class _Select:
    """Writes the graph, attention by attention."""

    def __init__(self, layout: KvLayout) -> None:
        self._layout = layout
        self._writer = writer = Writer("select.", _OPSET)
        self._past = integer_input(PAST)
        self._inputs = [self._past]
        self._outputs: list[ir.Value] = []
        keep = writer.integers([layout.keep])
        nothing = writer.integers([0])
        dropped = writer.op("Max", writer.op("Sub", self._past, keep), nothing)
        self._dropped = _named(dropped, DROPPED, ir.DataType.INT64, (1,))
        filled = writer.op("Min", self._past, keep)
        slots = np.arange(layout.keep + layout.growth)
        self._filled_K1 = writer.op("Less", writer.constant(slots[:, None]), filled)
        self._masks()

    def _masks(self) -> None:
        writer, context = self._writer, self._layout.context
        position_S = writer.integers(range(context))
        begin = writer.op("Sub", self._past, writer.integers([OBSERVED]))
        # A prompt shorter than the window is kept whole: its weights only have to be numbers.
        query_W1 = writer.op("Add", begin, writer.constant(np.arange(OBSERVED)[:, None]))
        query_W1 = writer.op("Max", query_W1, writer.integers([0]))
        seen_WS = writer.at_most(position_S, query_W1)
        self._bias_WS = writer.op("Where", seen_WS, writer.number(0.0), writer.number(-np.inf))
        self._before_S = writer.op("Less", position_S, begin)
        rest_S = writer.op("Less", position_S, self._past)
        self._rest_S = writer.op("Where", rest_S, writer.number(_ALWAYS), writer.number(_NEVER))

    def attention(self, index: int, attention: Attention, groups: tuple[HeadGroup, ...]) -> None:
        """Writes what becomes of the caches of one attention."""
        writer, context = self._writer, self._layout.context
        shape = (1, attention.query_heads, OBSERVED, attention.head_width)
        whole = prompt_layout(KvLayout(context, (groups,))).layers[0]
        queries = _value(f"{PROMPT_PREFIX}{index}.query", State("query", _FLOAT, shape))
        each = attention.query_heads // attention.kv_heads
        rows = writer.op("Mul", queries, writer.number(attention.scale))
        rows = writer.reshape(rows, [1, attention.kv_heads, each * OBSERVED, attention.head_width])
        for at, (kept, everything) in enumerate(zip(groups, whole, strict=True)):
            states = group_states(attention, everything, context)
            before = [_value(f"{PROMPT_PREFIX}{index}.{at}.{s.part}", s) for s in states]
            self._inputs += before
            group = GroupShape(attention, everything, 1, context)
            own = rows
            if len(groups) > 1:
                own = writer.gather(rows, writer.integers(kept.heads), 1)
            chosen = self._chosen(group, own, before)
            after = group_states(attention, kept, kept.slots(context))
            for old, state in zip(before, after, strict=True):
                self._outputs.append(self._gathered(old, chosen, f"next.{index}.{at}", state))
        self._inputs.append(queries)

    def _chosen(self, group: GroupShape, rows: ir.Value, states: list[ir.Value]) -> ir.Value:
        """Indices [1, H, K, 1] of what is kept; anything behind that."""
        writer, layout, heads = self._writer, self._layout, group.heads
        key = caches_of(group, states)[0]
        keys = writer.op(
            "Transpose", key.storage.decoded(writer, key.parts), attributes={"perm": [0, 1, 3, 2]}
        )
        logits = writer.op("MatMul", storages(group)[0].rotated(writer, rows), keys)
        cap = group.attention.softcap
        if cap:
            limit = writer.number(cap)
            logits = writer.op("Mul", writer.op("Tanh", writer.op("Div", logits, limit)), limit)
        extents = [heads, group.queries, OBSERVED, layout.context]
        logits = writer.op("Add", writer.reshape(logits, extents), self._bias_WS)
        weights = writer.op("Softmax", logits, attributes={"axis": -1})
        summed = writer.reshape(weights, [1, heads, group.queries * OBSERVED, layout.context])
        summed = writer.reshape(writer.reduce("ReduceSum", summed, 2), [1, heads, layout.context])
        earlier = writer.op("Where", self._before_S, summed, writer.number(0.0))
        pooling = {"kernel_shape": [POOLED], "pads": [POOLED // 2] * 2, "strides": [1]}
        pooled = writer.op("MaxPool", earlier, attributes=pooling)
        scores = writer.op("Where", self._before_S, pooled, self._rest_S)
        count = writer.integers([layout.keep])
        _, best = writer.many("TopK", [scores, count], 2, {"axis": -1, "sorted": 1})
        rising = {"axis": -1, "largest": 0, "sorted": 1}
        order, _ = writer.many("TopK", [best, count], 2, rising)
        room = writer.constant(np.zeros((1, heads, layout.growth), np.int64))
        order = writer.concat([order, room], 2)
        return writer.reshape(order, [1, heads, layout.keep + layout.growth, 1])

    def _gathered(self, old: ir.Value, chosen: ir.Value, prefix: str, state: State) -> ir.Value:
        writer = self._writer
        entries = writer.op("GatherND", old, chosen, attributes={"batch_dims": 2})
        zero = writer.constant(np.zeros((), state.data_type.numpy()))
        kept = writer.op("Where", self._filled_K1, entries, zero)
        return _named(kept, f"{prefix}.{state.part}", state.data_type, state.shape)

    def model(self, source: str) -> ir.Model:
        """The graph as a model."""
        graph = ir.Graph(
            self._inputs,
            [*self._outputs, self._dropped],
            nodes=self._writer.nodes,
            name="select",
            opset_imports={"": _OPSET},
        )
        graph.sort()
        model = ir.Model(graph, ir_version=_IR_VERSION)
        make_static(graph, model.opset_imports, source)
        return model


_FLOAT = ir.DataType.FLOAT


def _value(name: str, state: State) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(state.shape), type=ir.TensorType(state.data_type))


def _named(value: ir.Value, name: str, data_type: ir.DataType, shape: tuple[int, ...]) -> ir.Value:
    value.name, value.type, value.shape = name, ir.TensorType(data_type), ir.Shape(shape)
    return value
