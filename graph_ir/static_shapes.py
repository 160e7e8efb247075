"""One walk through a graph that gives every value a static shape and folds what is constant.

A node is reached after everything that it reads, so its input shapes are static and the constants
among its inputs are known: shape arithmetic of any depth folds away as it is met.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from graph_ir.branches import straight_nodes
from graph_ir.errors import InputError
from graph_ir.folding import Folder, check_extents
from graph_ir.node_forms import check_operator, check_types, describe_node, infer_forms, is_constant
from graph_ir.text import quoted

_DATA_DEPENDENT = frozenset({"NonZero", "Unique", "Compress", "NonMaxSuppression"})


def make_static(graph: ir.Graph, opsets: Mapping[str, int], source: str) -> int:
    """Infers all shapes and folds all constants of a graph.

    Args:
        graph: in topological order, with static input shapes; changed in place.
        opsets: versions by domain.
        source: file name, for messages.

    Returns:
        The number of nodes folded.

    Raises:
        InputError: an operator that is unknown, or a shape that is known only at run time.
    """
    folder = Folder(graph, opsets, source)
    for node in straight_nodes(graph, source):
        if node.op_type == "Constant" and node.domain == "":
            folder.fold(node)
            continue
        check_operator(node, opsets, source)
        check_types(node, opsets, source)
        _check_scales(node, source)
        if not folder.fold(node):
            _infer(node, opsets, source)
    return folder.folded


def _check_scales(node: ir.Node, source: str) -> None:
    """Factors of a Resize that are not finite would give extents that depend on the machine."""
    if node.domain != "" or node.op_type not in ("Resize", "Upsample"):
        return
    for value in node.inputs[1:]:
        if value is None or value.const_value is None or not is_constant(value):
            continue
        factors = value.const_value.numpy()
        if factors.dtype.kind == "f" and not np.isfinite(factors).all():
            raise InputError(
                f"{source}: {describe_node(node)}: {quoted(value.name or '')} is not finite"
            )


def _infer(node: ir.Node, opsets: Mapping[str, int], source: str) -> None:
    forms = infer_forms(node, opsets, source)
    where = f"{source}: {describe_node(node)}"
    for index, output in enumerate(node.outputs):
        if not output.name:
            continue
        form = forms.get(index)
        if form is None:
            raise InputError(
                f"{where}: the shape of its output {quoted(output.name)} cannot be inferred"
            )
        if None in form.shape:
            raise InputError(
                f"{where}: the shape of its output {quoted(output.name)} {_reason(node)}"
            )
        if output.is_graph_output() and output.dtype not in (None, form.data_type):
            raise InputError(
                f"{where}: output {quoted(output.name)} is {form.data_type.name}, but declared "
                f"{output.dtype.name if output.dtype else None}"
            )
        check_extents(form, f"{source}: output of {describe_node(node)}")
        output.shape = ir.Shape([extent for extent in form.shape if extent is not None])
        output.type = ir.TensorType(form.data_type)


def _reason(node: ir.Node) -> str:
    if node.op_type in _DATA_DEPENDENT:
        return "depends on the data"
    for index, value in enumerate(node.inputs):
        if value is None or is_constant(value) or value.dtype is None:
            continue
        if value.dtype.is_integer() and (index > 0 or len(node.inputs) == 1):
            return f"depends on the values of {quoted(value.name or '')}, computed at run time"
    return "is not static"
