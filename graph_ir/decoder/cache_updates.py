"""How caches are brought up to date: by appending rows to them, or writing rows into them."""

from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.onnx_values import is_constant, op_key

# Between a cache and the product that reads it: data is moved or repeated, or scaled.
_VIEWS = frozenset(
    {"Transpose", "Reshape", "Unsqueeze", "Squeeze", "Expand", "Identity", "Cast", "Tile"}
) | frozenset({"Gather", "Slice", "Split", "Mul", "Div", "Concat"})
_WRITES = frozenset({"ScatterND", "ScatterElements", "TensorScatter"})
_TO_INPUT = frozenset({"Transpose", "Cast", "Identity", "Gather", "Split"})


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache that an attention reads.

    Attributes:
        past: the graph input.
        axis: of its positions, in the graph input.
        held: `past` as the update reads it.
        held_axis: of its positions, from the end where it is negative.
        new: what is appended or written.
        new_axis: likewise.
        present: what the cache is afterwards.
        grows: whether the update appends.
    """

    past: ir.Value
    axis: int
    held: ir.Value
    held_axis: int
    new: ir.Value
    new_axis: int
    present: ir.Value
    grows: bool


def is_number(value: ir.Value) -> bool:
    """Whether a value is a constant of one element."""
    if not is_constant(value):
        return False
    tensor = ir.convenience.get_const_tensor(value)
    return tensor is not None and tensor.size == 1


def cache_behind(value: ir.Value | None) -> Cache | None:
    """The cache that a product's operand reads, through views."""
    while value is not None:
        node = value.producer()
        if node is None:
            return None
        cache = _update(node)
        if cache is not None:
            return cache
        if op_key(node) not in _VIEWS:
            return None
        following = node.inputs[0]
        if op_key(node) in ("Mul", "Div") and following is not None and is_number(following):
            following = node.inputs[1]
        value = following
    return None


def uncached_rows(value: ir.Value) -> ir.Value:
    """Keys or values as they are before they are repeated for the query heads of a group.

    Args:
        value: a product's operand that reads no cache.
    """
    found, step = value, value
    while (node := step.producer()) is not None and op_key(node) in _VIEWS:
        source = node.inputs[0]
        if source is None:
            break
        step = source
        if step.is_graph_output():
            found = step
        if op_key(node) in ("Expand", "Tile"):
            before = step.producer()
            is_wide = before is not None and op_key(before) == "Unsqueeze"
            found = before.inputs[0] or step if before is not None and is_wide else step
    return found


def input_behind(held: ir.Value, axis: int) -> tuple[ir.Value, int] | None:
    """The graph input that a value is taken from as it is, and the place of an axis in it.

    Between them axes may be permuted, and keys be told from values that share one input.
    """
    past = held
    steps: list[ir.Node] = []
    while (producer := past.producer()) is not None:
        if op_key(producer) not in _TO_INPUT or producer.inputs[0] is None:
            return None
        steps.append(producer)
        past = producer.inputs[0]
    if not past.is_graph_input() or past.shape is None or len(past.shape) < 3:
        return None
    outer = axis % (len(past.shape) - sum(op_key(step) == "Gather" for step in steps))
    for step in steps:
        if op_key(step) == "Transpose":
            outer = tuple(step.attributes.get_ints("perm", ()))[outer]
        elif op_key(step) == "Gather":
            picked = step.attributes.get_int("axis", 0)
            index = step.inputs[1]
            if picked != 0 or index is None or not is_number(index):
                return None
            outer += 1
    return past, outer


def _update(node: ir.Node) -> Cache | None:
    """The cache that a node brings up to date."""
    if op_key(node) == "Concat" and len(node.inputs) == 2:
        held, new = node.inputs
        return _cache(held, new, node.attributes.get_int("axis", 0), node, grows=True)
    if op_key(node) in _WRITES:
        new = node.inputs[1] if op_key(node) == "TensorScatter" else node.inputs[2]
        axis = -2 if op_key(node) == "ScatterND" else node.attributes.get_int("axis", -2)
        return _cache(node.inputs[0], new, axis, node, grows=False)
    return None


def _cache(
    held: ir.Value | None, new: ir.Value | None, axis: int, node: ir.Node, *, grows: bool
) -> Cache | None:
    found = None if held is None else input_behind(held, axis)
    if found is None or held is None or new is None:
        return None
    past, outer = found
    return Cache(past, outer, held, axis, new, axis, node.outputs[0], grows)
