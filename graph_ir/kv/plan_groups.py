"""How each group of KV heads is executed, and the nodes that tell it where rows go."""

import onnx_ir as ir

from graph_ir.decoder.decoder import Attention, Decoder
from graph_ir.kv.function import Forms, Group
from graph_ir.kv.group import GroupShape
from graph_ir.kv.grouped_query import ChunkTold, FullTold, chunk_told, full_told
from graph_ir.kv.layout import KvLayout
from graph_ir.kv.operator import group_states
from graph_ir.kv.pooled import PooledTold
from graph_ir.kv.scored import ScoredTold, scored_told
from graph_ir.kv.slots import Geometry, Places, Step, places, write_indices
from graph_ir.kv.standard import StandardTold


def plan_groups(
    decoder: Decoder, layout: KvLayout, step: Step, *, fused: bool, prefix: str = "cache."
) -> list[tuple[Group, ...]]:
    """The groups of all attentions; what several are told is computed once.

    Args:
        decoder: whose attentions they are.
        layout: what they keep.
        step: writes the nodes; its positions are counted as the caches have them.
        fused: whether operators of onnxruntime may be used.
        prefix: of the names of the states.
    """
    planner = _Planner(step)
    return [
        tuple(
            Group(
                shape,
                fused,
                planner.told(shape, fused),
                states := group_states(attention, kept, shape.slots),
                tuple(
                    ir.Value(
                        name=f"{prefix}{index}.{at}.{state.part}",
                        shape=ir.Shape(state.shape),
                        type=ir.TensorType(state.data_type),
                    )
                    for state in states
                ),
            )
            for at, kept in enumerate(groups)
            for shape in [GroupShape(attention, kept, step.rows, kept.slots(layout.context))]
        )
        for index, (attention, groups) in enumerate(zip(decoder.layers, layout.layers, strict=True))
    ]


class _Planner:
    """Writes what groups are told, the same thing once."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._places: dict[Geometry, Places] = {}
        self._writes: dict[tuple[Geometry, int, int], ir.Value] = {}
        self._full: dict[Geometry, FullTold] = {}
        self._chunks: dict[tuple[Geometry, int], ChunkTold] = {}
        self._scored: dict[tuple[int, int, int], ScoredTold] = {}

    def told(self, shape: GroupShape, fused: bool) -> Forms:
        """What a group is told, by which its form is chosen."""
        if shape.kept.buffer:
            return self._by_importance(shape)
        geometry = _geometry(shape)
        if geometry not in self._places:
            self._places[geometry] = places(self._step, geometry)
        place = self._places[geometry]
        if shape.kept.shared:
            write = self._write(geometry, place.slot_R, shape.heads, shape.rows)
            return PooledTold(write, place.bias, place.valid_R1)
        if shape.is_stored:
            return self._stored(shape, geometry, place)
        if fused and takes_full(shape):
            if geometry not in self._full:
                self._full[geometry] = full_told(self._step, shape.slots, place.alibi)
            return self._full[geometry]
        entries = shape.rows + int(shape.kept.compensation)
        write = self._write(geometry, place.entries_N, shape.heads, entries)
        if fused and takes_chunk(shape):
            key = (geometry, shape.heads)
            if key not in self._chunks:
                self._chunks[key] = chunk_told(self._step, place, write, shape.slots)
            return self._chunks[key]
        return StandardTold(
            read=place.entries_N if entries > 1 else None,
            write=write,
            bias=place.bias,
            fold=place.fold_1N,
            valid=place.valid_R1,
            alibi=place.alibi,
        )

    def _stored(self, shape: GroupShape, geometry: Geometry, place: Places) -> StandardTold:
        """What a group is told whose means are no entries of its caches."""
        return StandardTold(
            read=place.slot_R if shape.rows > 1 or shape.kept.compensation else None,
            write=self._write(geometry, place.slot_R, shape.heads, shape.rows),
            bias=place.bias,
            fold=place.fold_1N,
            valid=place.valid_R1,
            alibi=place.alibi,
        )

    def _by_importance(self, shape: GroupShape) -> ScoredTold:
        key = (shape.slots, shape.kept.history, shape.kept.recent)
        if key not in self._scored:
            self._scored[key] = scored_told(self._step, *key)
        return self._scored[key]

    def _write(self, geometry: Geometry, entries_N: ir.Value, heads: int, count: int) -> ir.Value:
        key = (geometry, heads, count)
        if key not in self._writes:
            self._writes[key] = write_indices(self._step, entries_N, heads, count)
        return self._writes[key]


def takes_full(shape: GroupShape) -> bool:
    """Whether GroupQueryAttention serves a group that keeps everything.

    It has one width for keys and values, a multiple of 8. Its bias has every row of every head, so
    that for ALiBi in a chunk the standard form, which adds slopes and mask one after the other,
    needs less.
    """
    attention = shape.attention
    is_plain = shape.rows == 1 or not attention.slopes
    return shape.kept.window == 0 and is_plain and _takes_widths(attention)


def takes_chunk(shape: GroupShape) -> bool:
    """Whether GroupQueryAttention serves a chunk beside the caches of a windowed group.

    It masks by order, and a full ring is not in the order of positions. A single row has no
    advantage of it: the operator would have to write to the end of the caches.
    """
    attention = shape.attention
    is_ordered = not attention.slopes and not attention.window
    windowed = shape.kept.window > 0
    return windowed and shape.rows > 1 and is_ordered and _takes_widths(attention)


def _takes_widths(attention: Attention) -> bool:
    return attention.head_width == attention.value_width and attention.head_width % 8 == 0


def _geometry(shape: GroupShape) -> Geometry:
    attention, kept, each = shape.attention, shape.kept, shape.queries
    slopes: tuple[tuple[float, ...], ...] = ()
    if attention.slopes:
        slopes = tuple(attention.slopes[head * each : (head + 1) * each] for head in kept.heads)
    return Geometry(
        slots=shape.slots,
        window=kept.window,
        sinks=kept.sinks,
        compensation=kept.compensation,
        seen=attention.window,
        slopes=slopes,
        by_row=bool(slopes) and attention.sinks,
    )
