"""A decoder taken through tokens attention by attention, its queries, keys and values looked at.

The graph is cut at its attentions. Everything between two of them is executed by the runner; the
attentions are computed here in blocks of rows, so that no matrix of all rows by all rows is held,
however many rows there are.

Shape suffixes: R rows, B rows of a block, H query heads, K KV heads, G query heads of a KV head,
D head width, E value width, T positions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.method import Array, Runner
from graph_ir.decoder.decoder import ATTENTION, DOMAIN, POSITIONS, TOKENS, Attention, Decoder
from graph_ir.errors import InputError
from graph_ir.onnx_values import value_name

F32 = NDArray[np.float32]
Ids = NDArray[np.int64]
# Of a block of probabilities of all query heads.
_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class LayerStates:
    """What an attention is given for all rows.

    Attributes:
        index: of the attention in `Decoder.layers`.
        attention: its sizes and options.
        node: its node.
        query_HRD: as multiplied (rotated), the scale not yet applied.
        key_KRD: as multiplied.
        value_KRE: values.
        sinks_H: logits of learned sinks, None without.
    """

    index: int
    attention: Attention
    node: ir.Node
    query_HRD: F32
    key_KRD: F32
    value_KRE: F32
    sinks_H: F32 | None

    @property
    def group(self) -> int:
        """Query heads of a KV head."""
        return self.attention.query_heads // self.attention.kv_heads

    def logits(self, rows_B: Ids, positions_T: Ids | None = None) -> F32:
        """Logits [H, B, T] of some rows, -inf where nothing is seen; without learned sinks.

        Args:
            rows_B: rows of the queries.
            positions_T: of the keys; all rows where None.
        """
        attention = self.attention
        key_KTD = self.key_KRD if positions_T is None else self.key_KRD[:, positions_T]
        if positions_T is None:
            positions_T = np.arange(self.key_KRD.shape[1])
        query_HBD = self.query_HRD[:, rows_B]
        heads, block, width = query_HBD.shape
        grouped = query_HBD.reshape(attention.kv_heads, self.group * block, width)
        logits = (grouped @ key_KTD.transpose(0, 2, 1)).reshape(heads, block, -1)
        logits *= np.float32(attention.scale)
        if attention.softcap:
            logits = attention.softcap * np.tanh(logits / attention.softcap)
        ahead_BT = positions_T[None] - rows_B[:, None]
        if attention.slopes:
            slopes_H11 = np.array(attention.slopes, np.float32)[:, None, None]
            logits = logits + slopes_H11 * ahead_BT.astype(np.float32)
        hidden_BT = ahead_BT > 0
        if attention.window:
            hidden_BT |= ahead_BT <= -attention.window
        logits = np.where(hidden_BT, np.float32(-np.inf), logits)
        result: F32 = logits.astype(np.float32, copy=False)
        return result


class Visitor:
    """Looks at a walk; does nothing unless told."""

    def layer(self, states: LayerStates, known: Mapping[str, Array]) -> None:
        """Called before an attention is computed; with the values that later nodes read."""

    def block(self, states: LayerStates, rows_B: Ids, probabilities_HBT: F32) -> None:
        """Called with the probabilities of every block of rows; T are positions from 0."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a graph: what it computes from what."""

    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]


def walk(decoder: Decoder, runner: Runner, ids_R: Ids, visitor: Visitor) -> None:
    """Computes the model from position 0 up to its last attention.

    Args:
        decoder: it is not changed.
        runner: executes what lies between attentions.
        ids_R: tokens.
        visitor: is shown every attention.

    Raises:
        InputError: a token beyond the vocabulary, more rows than the decoder has positions, or
            the runner refuses the graph.
    """
    rows = len(ids_R)
    if rows == 0 or ids_R.min() < 0 or ids_R.max() >= decoder.vocabulary:
        raise InputError(f"tokens: expected one or more of 0 to {decoder.vocabulary - 1}")
    if decoder.most_positions and rows > decoder.most_positions:
        raise InputError(
            f"tokens: expected at most {decoder.most_positions}, the decoder's positions, "
            f"got {rows}"
        )
    graph = decoder.model.graph
    nodes = attention_nodes(decoder)
    segments = _segments(graph, nodes)
    known: dict[str, Array] = {TOKENS: ids_R[None], POSITIONS: np.arange(rows)}
    for index, (node, segment) in enumerate(zip(nodes, segments, strict=True)):
        known.update(run_segment(decoder.model, runner, segment, known))
        states = _states(decoder.layers[index], index, node, known)
        visitor.layer(states, known)
        given = known[value_name(node.inputs[0])].dtype  # type: ignore[arg-type]
        known[value_name(node.outputs[0])] = _attend(states, visitor).astype(given)
        later = {value_name(v) for after in segments[index + 1 :] for v in after.inputs}
        later |= {value_name(v) for after in nodes[index + 1 :] for v in after.inputs if v}
        known = {name: known[name] for name in known if name in later}


def attention_nodes(decoder: Decoder) -> list[ir.Node]:
    """The attentions of the normal form in the order of `Decoder.layers`."""
    found = {
        node.name: node
        for node in decoder.model.graph
        if node.domain == DOMAIN and node.op_type == ATTENTION
    }
    return [found[layer.node] for layer in decoder.layers]


def _segments(graph: ir.Graph, nodes: list[ir.Node]) -> list[Segment]:
    """For each attention what has to be computed for it after the one before it.

    A value's stage is the number of attentions that it comes after.
    """
    order = {node: index for index, node in enumerate(nodes)}
    stages: dict[ir.Value, int] = {}
    used_at: dict[ir.Value, int] = {}
    for node in graph:
        read = [value for value in node.inputs if value is not None]
        stage = max((stages.get(value, 0) for value in read), default=0)
        stage = order.get(node, stage)
        for value in read:
            used_at[value] = max(used_at.get(value, 0), stage)
        for value in node.outputs:
            stages[value] = stage + int(node in order)
    made = [value for node in graph if node not in order for value in node.outputs]
    attended = [node.outputs[0] for node in nodes]
    constants = set(graph.initializers.values())
    segments = []
    for index, node in enumerate(nodes):
        wanted = {v for v in node.inputs if v is not None and v not in constants}
        outputs = [
            v for v in made if stages[v] == index and (v in wanted or used_at.get(v, 0) > index)
        ]
        read_here = {
            value
            for other in graph
            if other not in order and any(stages[v] == index for v in other.outputs)
            for value in other.inputs
        }
        inputs = [v for v in (*graph.inputs, *attended) if v in read_here]
        inputs += [v for v in made if v in read_here and stages[v] < index]
        segments.append(Segment(tuple(inputs), tuple(outputs)))
    return segments


def run_segment(
    model: ir.Model, runner: Runner, segment: Segment, known: dict[str, Array]
) -> dict[str, Array]:
    """The outputs of a segment by name.

    Raises:
        InputError: the runner refuses it.
    """
    if not segment.outputs:
        return {}
    graph = ir.convenience.extract(model.graph, list(segment.inputs), list(segment.outputs))
    feeds = {}
    for value in graph.inputs:
        array = known[value_name(value)]
        value.dtype = ir.DataType.from_numpy(array.dtype)
        value.shape = ir.Shape(array.shape)
        feeds[value_name(value)] = array
    part = ir.Model(graph, ir_version=model.ir_version, functions=tuple(model.functions.values()))
    return runner.open(part, [value_name(value) for value in segment.outputs])(feeds)


def _states(
    attention: Attention, index: int, node: ir.Node, known: dict[str, Array]
) -> LayerStates:
    """Arrays of an attention's inputs."""
    arrays: list[F32 | None] = []
    for value in node.inputs:
        if value is None:
            arrays.append(None)
            continue
        constant = value.const_value
        array = known[value_name(value)] if constant is None else constant.numpy()
        arrays.append(array.astype(np.float32, copy=False))
    query_1HRD, key_1KRD, value_1KRE, *rest = arrays
    assert query_1HRD is not None
    assert key_1KRD is not None
    assert value_1KRE is not None
    sinks_H = rest[0] if rest and attention.sinks else None
    return LayerStates(index, attention, node, query_1HRD[0], key_1KRD[0], value_1KRE[0], sinks_H)


def blocks(states: LayerStates) -> Iterator[tuple[Ids, F32]]:
    """Rows and their probabilities [H, B, T] over the positions up to the last of them."""
    heads, rows = states.query_HRD.shape[:2]
    size = max(1, min(256, _BLOCK_BYTES // (4 * heads * rows)))
    for start in range(0, rows, size):
        rows_B = np.arange(start, min(rows, start + size))
        logits_HBT = states.logits(rows_B, np.arange(rows_B[-1] + 1))
        top_HB1 = logits_HBT.max(axis=-1, keepdims=True)
        if states.sinks_H is not None:
            top_HB1 = np.maximum(top_HB1, states.sinks_H[:, None, None])
        weights_HBT = np.exp(logits_HBT - top_HB1)
        total_HB1 = weights_HBT.sum(axis=-1, keepdims=True)
        if states.sinks_H is not None:
            total_HB1 = total_HB1 + np.exp(states.sinks_H[:, None, None] - top_HB1)
        weights_HBT /= total_HB1
        yield rows_B, weights_HBT


def _attend(states: LayerStates, visitor: Visitor) -> F32:
    """The attention's output [1, H, R, E]."""
    heads, rows = states.query_HRD.shape[:2]
    output_HRE = np.empty((heads, rows, states.value_KRE.shape[2]), np.float32)
    for rows_B, weights_HBT in blocks(states):
        visitor.block(states, rows_B, weights_HBT)
        seen = weights_HBT.shape[2]
        grouped = weights_HBT.reshape(states.attention.kv_heads, -1, seen)
        mixed = grouped @ states.value_KRE[:, :seen]
        output_HRE[:, rows_B] = mixed.reshape(heads, len(rows_B), -1)
    return output_HRE[None]
