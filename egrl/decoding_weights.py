"""The weights of a decoder in normal form, quantized once for all graphs that are made of it.

A compression wants static shapes and a language model that takes tokens alone. Both are lent to
the normal form: every value is told the shape that it has with a number of rows, and positions are
a constant. Nothing that depends on the number of rows is folded, so what is lent can be taken back
and the result is a normal form again.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from egrl.compression.compress import Compressed, Compression
from egrl.compression.compress import compress as compress_model
from egrl.compression.spec import parse_spec
from graph_ir.compression.packing import needed_opset
from graph_ir.decoder.attention_function import carry_functions
from graph_ir.decoder.decoder import ATTENTION, DOMAIN, POSITIONS, ROWS, TOKENS, Decoder
from graph_ir.dims import bind_dims
from graph_ir.folding import Folder
from graph_ir.model import Model
from graph_ir.naming import name_everything
from graph_ir.opset import convert_opset
from graph_ir.static_shapes import make_static
from runtime.npz import read_inputs

DRAWN_ROWS = 128
"""Tokens of a calibration sequence that is made up; fewer where the context is shorter."""


def calibration_rows(asked: Compression, context: int) -> int:
    """Tokens of a calibration sequence: as many as a person's have.

    Raises:
        InputError: the person's file cannot be read.
    """
    if asked.calibration is None:
        return min(DRAWN_ROWS, context)
    path = Path(asked.calibration)
    files = sorted(path.glob("*.npz"))[:1] if path.is_dir() else [path]
    tokens = [read_inputs(file).get(TOKENS) for file in files]
    return tokens[0].shape[-1] if tokens and tokens[0] is not None and tokens[0].ndim else 1


def compress_weights(decoder: Decoder, asked: Compression, rows: int) -> tuple[Decoder, Compressed]:
    """Compresses the weights of a decoder.

    Args:
        decoder: is not changed.
        asked: which compressions, in order.
        rows: tokens of a calibration sequence.

    Returns:
        A decoder in normal form, and what was done.

    Raises:
        InputError: as the compressions.
        UnmetRequirementError: the error is larger than asked for.
    """
    if not asked.texts:
        return decoder, Compressed()
    model = decoder.model.clone()
    model.graph.opset_imports.setdefault("com.microsoft", 1)
    _raise_opset(model, asked, decoder.source_path)
    _fold(model, decoder.source_path)
    _lend_shapes(model, decoder, rows)
    positions = _lend_positions(model.graph, rows)
    source = Model(model, decoder.source_path, decoder.source_sha256)
    done = compress_model(source, asked)
    _take_back(model.graph, positions, decoder.vocabulary)
    return replace(decoder, model=model), done


def _raise_opset(model: ir.Model, asked: Compression, source: str) -> None:
    """Does now what a compression would do later, and could not for want of shapes."""
    bits = [dict(parse_spec(text).options).get("bits") for text in asked.texts]
    if convert_opset(model, needed_opset(2 if "2" in bits else 4), source):
        for identifier in list(model.functions):
            if identifier[:2] == (DOMAIN, ATTENTION):
                del model.functions[identifier]
        carry_functions(model)


def _fold(model: ir.Model, source: str) -> None:
    """Folds nodes of constants alone; shapes are not known yet, and stay so."""
    graph = model.graph
    folder = Folder(graph, model.opset_imports, source)
    for node in tuple(graph):
        if node.domain == "" and node.op_type not in ("Shape", "Size"):
            folder.fold(node)
    name_everything(graph)


def _lend_shapes(model: ir.Model, decoder: Decoder, rows: int) -> None:
    """Gives every value the shape and the type that it has with so many rows."""
    twin = model.clone()
    graph = twin.graph
    attentions = {attention.node: attention for attention in decoder.layers}
    cut: list[ir.Value] = []
    for node in tuple(graph):
        if (node.domain, node.op_type) == (DOMAIN, ATTENTION):
            attention = attentions[node.name or ""]
            old = node.outputs[0]
            extents = [1, attention.query_heads, rows, attention.value_width]
            value = ir.Value(
                name=old.name, shape=ir.Shape(extents), type=ir.TensorType(ir.DataType.FLOAT)
            )
            # What it reads has to keep its shape, although nothing else may read it.
            cut += [read for read in node.inputs if read is not None]
            old.replace_all_uses_with(value, replace_graph_outputs=True)
            graph.remove(node, safe=True)
            graph.inputs.append(value)
    graph.outputs.extend(cut)
    bind_dims(graph, {ROWS: rows}, decoder.source_path)
    make_static(graph, twin.opset_imports, decoder.source_path)
    known = {value.name: value for value in (*graph.inputs, *graph.initializers.values())}
    known.update({value.name: value for node in graph for value in node.outputs})
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    for value in values:
        found = known.get(value.name)
        if found is not None and found.shape is not None:
            value.shape, value.type = ir.Shape(found.shape), found.type


def _lend_positions(graph: ir.Graph, rows: int) -> ir.Value:
    """Puts a constant in the place of the input, which is returned."""
    given = next(value for value in graph.inputs if value.name == POSITIONS)
    tensor = ir.tensor(np.arange(rows, dtype=np.int64), name=POSITIONS)
    constant = ir.Value(
        name=POSITIONS,
        shape=ir.Shape([rows]),
        type=ir.TensorType(ir.DataType.INT64),
        const_value=tensor,
    )
    given.replace_all_uses_with(constant)
    graph.inputs.remove(given)
    graph.register_initializer(constant)
    return given


def _take_back(graph: ir.Graph, positions: ir.Value, vocabulary: int) -> None:
    constant = graph.initializers.pop(POSITIONS)
    constant.replace_all_uses_with(positions)
    graph.inputs.append(positions)
    for node in graph:
        for value in node.outputs:
            value.shape = None
    positions.shape = ir.Shape([ROWS])
    for value in graph.inputs:
        if value.name == TOKENS:
            value.shape = ir.Shape([1, ROWS])
    graph.outputs[0].shape = ir.Shape([1, ROWS, vocabulary])
