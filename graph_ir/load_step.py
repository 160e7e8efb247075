"""Reads the graphs of a decoder's artifact back, as they were written.

`load_model` inlines the functions that a model carries and infers all shapes. The attentions of a
step graph are calls of functions of our own domain, which are ops of the workload by themselves;
the file says the shapes of their results, as it does of all values.
"""

from pathlib import Path

import onnx_ir as ir

from graph_ir.checks import check_proto
from graph_ir.decoder.decoder import DOMAIN
from graph_ir.errors import InputError
from graph_ir.load import file_digest
from graph_ir.model import Model
from graph_ir.onnx_values import node_name, op_key, shape_of, value_name
from graph_ir.proto_file import read_model_proto
from graph_ir.text import reason_of


def load_step(path: str | Path) -> Model:
    """Loads a graph that `graph_ir.kv.step` made and `graph_ir.save` wrote.

    Args:
        path: of the ONNX file.

    Raises:
        InputError: the file is damaged or hostile, a function of another domain is called, or a
            value has no static shape.
    """
    source = Path(path)
    proto = read_model_proto(source)
    data_files = check_proto(proto, source)
    try:
        model = ir.serde.deserialize_model(proto)
    except (ir.serde.SerdeError, ValueError, TypeError, NotImplementedError) as error:
        raise InputError(f"{source}: not a valid ONNX model: {reason_of(error)}") from error
    for node in model.graph:
        if node.op_identifier() in model.functions and node.domain != DOMAIN:
            raise InputError(
                f"{source}: node {node_name(node)} ({op_key(node)}): expected functions of domain "
                f"{DOMAIN} only"
            )
        for value in node.outputs:
            if value.name and (value.uses() or value.is_graph_output()):
                _check_form(value, source)
    for value in model.graph.inputs:
        _check_form(value, source)
    return Model(model, str(source), file_digest(source, data_files))


def _check_form(value: ir.Value, source: Path) -> None:
    try:
        extents = shape_of(value)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    if value.dtype is None or min(extents, default=0) < 0:
        raise InputError(f"{source}: value {value_name(value)}: expected a type and a shape")
