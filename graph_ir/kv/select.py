"""Which positions of a prompt each KV head keeps: the graph between the prompt and the tokens.

Each head keeps those that score most with it (`graph_ir.kv.scores`). Where heads share their
positions (AdaKV, Feng et al., arXiv 2407.11550, section 3) a part of them is chosen so, and the
rest are those that score most with any head of the layer.

Inputs: `past_length` int64 [1], length of the prompt, and the states of `step.prompt_graph`.
Outputs: the states of `step.step_graph` as they are when the prompt has been read, and `dropped`
int64 [1], how many of its positions they lack. Chosen positions are in rising order; what is behind
them is zeros. Keys are stored rotated, so that they need not know where they stood. A prompt of no
more than `keep` positions is kept whole.

Suffixes: H KV heads of a group, S positions, K slots.
"""

import numpy as np
import onnx_ir as ir

from graph_ir.decoder.decoder import Attention, Decoder
from graph_ir.errors import InputError
from graph_ir.kv.group import GroupShape
from graph_ir.kv.layout import HeadGroup, KvLayout, prompt_layout
from graph_ir.kv.operator import State, group_states
from graph_ir.kv.scores import ALWAYS, Scores, query_states
from graph_ir.kv.static_body import DROPPED, PAST, PROMPT_PREFIX, integer_input
from graph_ir.kv.writing import Writer
from graph_ir.static_shapes import make_static

FLOOR = 0.2
"""Share of its positions that each head chooses for itself where heads share them (AdaKV)."""

_OPSET = 18
_IR_VERSION = 10


def select_graph(decoder: Decoder, layout: KvLayout) -> ir.Model:
    """The graph; it is of standard operators and has static shapes.

    Args:
        decoder: whose caches they are.
        layout: in which positions are chosen; more of them than are kept anyway.

    Raises:
        InputError: nothing is chosen, or no more than what is kept anyway.
    """
    always = layout.scoring.always
    if layout.keep <= always:
        raise InputError(
            f"keep: expected more than the {always} positions that are kept whatever they score, "
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
        self._short = writer.at_most(self._past, keep)
        self._most = writer.number(ALWAYS)
        self._dropped = _named(dropped, DROPPED, ir.DataType.INT64, (1,))
        filled = writer.op("Min", self._past, keep)
        slots = np.arange(layout.keep + layout.growth)
        self._filled_K1 = writer.op("Less", writer.constant(slots[:, None]), filled)
        self._scores = Scores(writer, self._past, layout.context, layout.scoring)

    def attention(self, index: int, attention: Attention, groups: tuple[HeadGroup, ...]) -> None:
        """Writes what becomes of the caches of one attention."""
        context = self._layout.context
        whole = prompt_layout(KvLayout(context, (groups,))).layers[0]
        queries = [
            _value(f"{PROMPT_PREFIX}{index}.{state.part}", state)
            for state in query_states(attention, self._layout.scoring)
        ]
        for at, (kept, everything) in enumerate(zip(groups, whole, strict=True)):
            states = group_states(attention, everything, context)
            before = [_value(f"{PROMPT_PREFIX}{index}.{at}.{s.part}", s) for s in states]
            self._inputs += before
            group = GroupShape(attention, everything, 1, context)
            scores = self._scores.of(index, group, queries, before)
            chosen, ends = self._shared(group, scores) if kept.shared else (None, None)
            if chosen is None:
                chosen = self._chosen(group, scores)
            after = group_states(attention, kept, kept.slots(context))
            prefix = f"next.{index}.{at}"
            for old, state in zip(before, after, strict=False):
                self._outputs.append(
                    self._gathered(old, chosen, prefix, state, 1 if kept.shared else 2)
                )
            if ends is not None:
                name = f"{prefix}.{after[-1].part}"
                self._outputs.append(_named(ends, name, after[-1].data_type, after[-1].shape))
        self._inputs += queries

    def _chosen(self, group: GroupShape, scores: ir.Value) -> ir.Value:
        """Indices [1, H, K, 1] of what is kept; anything behind that."""
        writer, layout, heads = self._writer, self._layout, group.heads
        count = writer.integers([layout.keep])
        _, best = writer.many("TopK", [scores, count], 2, {"axis": -1, "sorted": 1})
        rising = {"axis": -1, "largest": 0, "sorted": 1}
        order, _ = writer.many("TopK", [best, count], 2, rising)
        room = writer.constant(np.zeros((1, heads, layout.growth), np.int64))
        order = writer.concat([order, room], 2)
        return writer.reshape(order, [1, heads, layout.keep + layout.growth, 1])

    def _shared(self, group: GroupShape, scores: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Indices [1, H, K, 2] of what the heads keep together, and where each one's ends.

        What is chosen, by head and then by position, fills one head's first `keep` slots after the
        other's; of a prompt that is kept whole each head's are in its own.
        """
        writer, layout, heads = self._writer, self._layout, group.heads
        context, keep = layout.context, layout.keep
        always = layout.scoring.always
        safe = writer.integers([always + int(FLOOR * (keep - always))])
        best, own = writer.many("TopK", [scores, safe], 2, {"axis": -1, "sorted": 1})
        # What is not there stays so, however few there are.
        raised = writer.op("Where", writer.op("Less", best, writer.number(0.0)), best, self._most)
        scores = writer.op("ScatterElements", scores, own, raised, attributes={"axis": 2})
        count = writer.integers([heads * keep])
        flat = writer.reshape(scores, [1, heads * context])
        _, best = writer.many("TopK", [flat, count], 2, {"axis": -1, "sorted": 1})
        rising = {"axis": -1, "largest": 0, "sorted": 1}
        order, _ = writer.many("TopK", [best, count], 2, rising)
        whole = np.arange(heads)[:, None] * context + np.arange(keep)
        order = writer.op("Where", self._short, writer.constant(whole.reshape(1, -1)), order)
        bounds_H1 = writer.constant((np.arange(heads)[:, None] + 1) * context)
        below = writer.cast(writer.op("Less", order, bounds_H1), ir.DataType.INT64)
        ends = writer.reduce("ReduceSum", below, 1)
        rows = writer.reshape(order, [1, heads, keep])
        room = writer.constant(np.zeros((1, heads, layout.growth), np.int64))
        rows = writer.reshape(writer.concat([rows, room], 2), [1, heads, -1, 1])
        width = writer.integers([context])
        pairs = [writer.op("Div", rows, width), writer.op("Mod", rows, width)]
        return writer.concat(pairs, 3), writer.reshape(ends, [1, heads, 1, 1])

    def _gathered(
        self, old: ir.Value, chosen: ir.Value, prefix: str, state: State, outer: int
    ) -> ir.Value:
        writer = self._writer
        entries = writer.op("GatherND", old, chosen, attributes={"batch_dims": outer})
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


def _value(name: str, state: State) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(state.shape), type=ir.TensorType(state.data_type))


def _named(value: ir.Value, name: str, data_type: ir.DataType, shape: tuple[int, ...]) -> ir.Value:
    value.name, value.type, value.shape = name, ir.TensorType(data_type), ir.Shape(shape)
    return value
