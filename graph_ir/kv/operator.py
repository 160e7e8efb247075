"""The attention that reads and extends caches: one node `egrl::CachedAttention` for each layer.

The node calls a function of the model (its overload says which) that executes it by standard
operators. Its inputs are the query [1, query_heads, rows, head_width], key and value of the new
rows, the logits of learned sinks where there are some, and for each group of KV heads

    what says where rows go and what is seen, computed once in a step (`graph_ir.kv.slots`),
    its states: the caches as they were;

its outputs are what the rows attended to, [1, query_heads, rows, value_width], and the states as
they are afterwards, in the order of the inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.decoder.decoder import DOMAIN, Attention
from graph_ir.kv.group import FLOAT_BITS
from graph_ir.kv.layout import HeadGroup
from graph_ir.kv.storage import Storage

OPERATOR = "CachedAttention"
STATES = "egrl.states"
"""Metadata of a step graph: a JSON list of [input, output], the states in graph order."""


@dataclass(frozen=True, slots=True)
class State:
    """One tensor that lives from step to step.

    Attributes:
        part: last part of its name: `key`, `value`, ...
        data_type: of its elements.
        shape: static.
    """

    part: str
    data_type: ir.DataType
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CachedGroup:
    """A group of KV heads of a node.

    Attributes:
        kept: which positions its heads keep.
        slots: positions that its caches have room for, the compensation slot included.
        form: by which operators it is executed: `standard` or `onnxruntime`.
        states: for each state the indices of its input and its output.
    """

    kept: HeadGroup
    slots: int
    form: str
    states: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class CachedAttention:
    """What a node does.

    Attributes:
        layer: index of its attention.
        rows: new positions.
        query_heads: of the whole node.
        kv_heads: of the whole node.
        head_width: of queries and keys.
        value_width: of values.
        window: positions that a query of the model sees, 0 for all before it.
        groups: share out the KV heads.
    """

    layer: int
    rows: int
    query_heads: int
    kv_heads: int
    head_width: int
    value_width: int
    window: int
    groups: tuple[CachedGroup, ...]


def is_cached_attention(node: ir.Node) -> bool:
    """Whether a node is one that `cached_attention` describes."""
    return node.domain == DOMAIN and node.op_type == OPERATOR


def cached_attention(node: ir.Node) -> CachedAttention:
    """What a node `egrl::CachedAttention` does, from its attributes alone."""
    numbers = node.attributes
    heads, groups = list(numbers.get_ints("heads", ())), []
    forms = numbers.get_string("forms", "").split()
    counts = numbers.get_ints("group_heads", ())
    state_counts = numbers.get_ints("group_states", ())
    parameters = list(zip(*(numbers.get_ints(name, ()) for name in _GROUP_ATTRIBUTES), strict=True))
    output = 1
    keep, growth = numbers.get_int("keep", 0), numbers.get_int("growth", 0)
    shared = bool(numbers.get_int("shared", 0))
    buffer, history, recent = (numbers.get_int(name, 0) for name in ("buffer", "history", "recent"))
    for index, (window, sinks, compensation, key_bits, value_bits, slots, first) in enumerate(
        parameters
    ):
        kept = HeadGroup(
            heads=tuple(heads[: counts[index]]),
            window=window,
            sinks=sinks,
            compensation=bool(compensation),
            key_bits=key_bits,
            value_bits=value_bits,
            keep=keep,
            growth=growth,
            shared=shared,
            buffer=buffer,
            history=history,
            recent=recent,
        )
        del heads[: counts[index]]
        states = tuple((first + at, output + at) for at in range(state_counts[index]))
        output += state_counts[index]
        groups.append(CachedGroup(kept, slots, forms[index], states))
    return CachedAttention(
        layer=numbers.get_int("layer", 0),
        rows=numbers.get_int("rows", 0),
        query_heads=numbers.get_int("query_heads", 0),
        kv_heads=numbers.get_int("kv_heads", 0),
        head_width=numbers.get_int("head_width", 0),
        value_width=numbers.get_int("value_width", 0),
        window=numbers.get_int("window", 0),
        groups=tuple(groups),
    )


_GROUP_ATTRIBUTES = (
    "windows",
    "sinks",
    "compensation",
    "key_bits",
    "value_bits",
    "slots",
    "first_states",
)


def node_attributes(
    layer: int, rows: int, attention: Attention, groups: Sequence[CachedGroup]
) -> dict[str, ir.Attr]:
    """The attributes that `cached_attention` reads, and the attention's own numbers."""
    kept = [group.kept for group in groups]
    integers = {
        "group_heads": [len(group.heads) for group in kept],
        "heads": [head for group in kept for head in group.heads],
        "group_states": [len(group.states) for group in groups],
        "windows": [group.window for group in kept],
        "sinks": [group.sinks for group in kept],
        "compensation": [int(group.compensation) for group in kept],
        "key_bits": [group.key_bits for group in kept],
        "value_bits": [group.value_bits for group in kept],
        "slots": [group.slots for group in groups],
        "first_states": [group.states[0][0] for group in groups],
    }
    single = {
        "layer": layer,
        "rows": rows,
        "query_heads": attention.query_heads,
        "kv_heads": attention.kv_heads,
        "head_width": attention.head_width,
        "value_width": attention.value_width,
        "window": attention.window,
    }
    if kept[0].keep:  # the same for all, see `KvLayout`
        single |= {"keep": kept[0].keep, "growth": kept[0].growth}
    if kept[0].shared:
        single |= {"shared": 1}
    if kept[0].buffer:  # likewise
        single |= {name: getattr(kept[0], name) for name in ("buffer", "history", "recent")}
    return {
        **{name: ir.AttrInt64(name, value) for name, value in single.items()},
        **{name: ir.AttrInt64s(name, values) for name, values in integers.items()},
        "scale": ir.AttrFloat32("scale", attention.scale),
        "softcap": ir.AttrFloat32("softcap", attention.softcap),
        "forms": ir.AttrString("forms", " ".join(group.form for group in groups)),
    }


def group_states(attention: Attention, group: HeadGroup, slots: int) -> tuple[State, ...]:
    """The states of a group in order: entries, scales, means, each of keys first.

    Where heads share positions, `ends` follows: for each head the end of its own among them; with
    a buffer, `unimportant`: for each slot how often it was.
    """
    heads = len(group.heads)
    key = Storage(group.key_bits, heads, attention.head_width, is_key=True)
    value = Storage(group.value_bits, heads, attention.value_width, is_key=False)
    both = (("key", key), ("value", value))
    states = []
    for part, storage in both:
        data_type, width = storage.entry
        states.append(State(part, data_type, (1, heads, slots, width)))
    for part, storage in both:
        if storage.blocks:
            shape = (1, heads, slots, 2 * storage.blocks)
            states.append(State(f"{part}_scale", ir.DataType.FLOAT16, shape))
    if group.compensation and min(group.key_bits, group.value_bits) < FLOAT_BITS:
        for part, storage in both:
            shape = (1, heads, 1, storage.width)
            states.append(State(f"{part}_mean", ir.DataType.FLOAT, shape))
    if group.shared:
        states.append(State("ends", ir.DataType.INT64, (1, heads, 1, 1)))
    if group.buffer:
        states.append(State("unimportant", ir.DataType.FLOAT, (1, heads, slots, 1)))
    return tuple(states)
