"""From a sum in the residual stream back to the constants that one of its terms is made with."""

from dataclasses import replace

from onnx_ir import Node

from graph_ir.compression.residual_stream_edits import F64, Edit, Neutral, Turn
from graph_ir.compression.residual_stream_ops import (
    channels_of,
    float_constant,
    is_lookup,
    moves_rows,
    refusal,
    vector_of,
)
from graph_ir.onnx_values import op_key


def trace_writer(node: Node, index: int, width: int) -> list[Edit]:
    """The edits that rotate an operand of a node.

    Args:
        node: adds the operand to the stream.
        index: of the operand.
        width: D.

    Raises:
        InputError: something on the way does not commute with a rotation, or is read elsewhere.
    """
    value = node.inputs[index]
    assert value is not None
    constant = float_constant(value)
    if constant is not None:
        return [Turn(node, index, max(constant[0].ndim - 1, 0))]
    writer = value.producer()
    if writer is None:
        raise refusal(node, f"adds {value.name} to the stream, which is an input or no float")
    if len(value.uses()) != 1 or value.is_graph_output() or len(writer.outputs) != 1:
        raise refusal(writer, "what it writes to the stream is also read elsewhere")
    if channels_of(value)[-1:] != (width,):
        raise refusal(writer, f"writes to the stream, expected {width} channels")
    return _through(writer, width)


def _through(node: Node, width: int) -> list[Edit]:
    op = op_key(node)
    if is_lookup(node):
        return [Turn(node, 0, axis=1)]
    if op in ("MatMul", "Gemm"):
        return _product(node, width)
    if op in ("Add", "Sub", "Sum"):
        return [edit for i in range(len(node.inputs)) for edit in trace_writer(node, i, width)]
    if op in ("Mul", "Div"):
        return _scaled(node, width)
    if op == "Concat":
        rank = len(channels_of(node.outputs[0]))
        if node.attributes.get_int("axis", 0) % rank == rank - 1:
            raise refusal(node, "joins channels and writes them to the stream")
        return [edit for i in range(len(node.inputs)) for edit in trace_writer(node, i, width)]
    if moves_rows(node, width):
        return trace_writer(node, 0, width)
    raise refusal(node, "writes to the stream what rotating constants cannot rotate")


def _product(node: Node, width: int) -> list[Edit]:
    constant = float_constant(node.inputs[1])
    if constant is None or constant[0].ndim != 2:
        raise refusal(node, "writes to the stream without a constant matrix of floats")
    edits: list[Edit] = [Turn(node, 1, axis=0 if node.attributes.get_int("transB", 0) else 1)]
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        edits += trace_writer(node, 2, width)
    return edits


def _scaled(node: Node, width: int) -> list[Edit]:
    """A scale by row passes; one by channel is folded into what stands before it."""
    is_division = op_key(node) == "Div"
    for at in (0,) if is_division else (0, 1):
        value, factor = node.inputs[at], node.inputs[1 - at]
        assert value is not None
        assert factor is not None
        if channels_of(value)[-1:] != (width,):
            continue
        if (channels_of(factor) or (1,))[-1] == 1:
            return trace_writer(node, at, width)
        factor_D = vector_of(factor, width)
        if factor_D is not None:
            factor_D = 1 / factor_D if is_division else factor_D
            before = [_times(edit, factor_D) for edit in trace_writer(node, at, width)]
            return [*before, Neutral(node, 1 - at, 1.0)]
    raise refusal(node, "multiplies by channel what is written to the stream")


def _times(edit: Edit, factor_D: F64) -> Edit:
    if not isinstance(edit, Turn):
        return edit
    return replace(edit, scale_D=factor_D if edit.scale_D is None else edit.scale_D * factor_D)
