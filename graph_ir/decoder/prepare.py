"""Makes a source graph fit to be looked at: one batch, constants as constants, no branches."""

from math import prod
from pathlib import Path

import numpy as np
import onnx_ir as ir

from graph_ir.branches import straight_nodes
from graph_ir.decoder.decoder import POSITIONS, ROWS
from graph_ir.decoder.source import Meaning, meaning_of
from graph_ir.errors import InputError
from graph_ir.folding import Folder
from graph_ir.naming import name_everything
from graph_ir.node_forms import is_constant
from graph_ir.text import quoted

# Larger constants are weights, which stay in the file that they are in.
_FOLDED_BYTES = 1 << 16
# Elements of an input, which is made for every call.
_LARGEST_INPUT = 1 << 28


def prepare(model: ir.Model, path: Path) -> tuple[ir.Value, ir.Value]:
    """Prepares a graph, in place.

    The batch becomes 1, switches of the export are set, constants folded, and an input
    `positions [rows]` is added, which nothing reads yet.

    Returns:
        The inputs with the tokens and with the positions.

    Raises:
        InputError: no tokens among the inputs, or control flow.
    """
    graph = model.graph
    switches = [v for v in graph.inputs if meaning_of(v, str(path)) is Meaning.YES]
    for value in switches:
        _set_switch(graph, value)
    tokens = [v for v in graph.inputs if meaning_of(v, str(path)) is Meaning.TOKENS]
    if len(tokens) != 1 or tokens[0].shape is None or len(tokens[0].shape) not in (1, 2):
        found = ", ".join(quoted(v.name or "") for v in tokens) or "none"
        raise InputError(
            f"{path}: expected one input of tokens with one or two axes, such as input_ids; "
            f"got {found}"
        )
    _fold_constants(model, path)
    name_everything(graph)
    for value in graph.inputs:
        _widen(value, str(path))
    positions = ir.Value(
        name=_free_name(graph), shape=ir.Shape([ROWS]), type=ir.TensorType(ir.DataType.INT64)
    )
    graph.inputs.append(positions)
    return tokens[0], positions


def _free_name(graph: ir.Graph) -> str:
    """`positions`; an input or value of the source that is called so is renamed."""
    for value in graph.inputs:
        if value.name == POSITIONS:
            value.name = "source_positions"
    for node in graph:
        for value in node.outputs:
            if value.name == POSITIONS:
                value.name = "source.positions"
    return POSITIONS


def _set_switch(graph: ir.Graph, value: ir.Value) -> None:
    extents = [extent if isinstance(extent, int) else 1 for extent in value.shape or ()]
    tensor = ir.tensor(np.ones(extents, bool), name=value.name)
    graph.inputs.remove(value)
    value.const_value = tensor
    graph.register_initializer(value)


def _fold_constants(model: ir.Model, path: Path) -> None:
    graph = model.graph
    folder = Folder(graph, model.opset_imports, str(path))
    for node in straight_nodes(graph, str(path)):
        if node.op_type == "Constant" and node.domain == "":
            folder.fold(node)
            continue
        known = [value for value in node.inputs if value is not None]
        if known and all(is_constant(value) for value in known):
            size = sum(v.const_value.nbytes for v in known if v.const_value is not None)
            if size <= _FOLDED_BYTES:
                folder.fold(node)


def _widen(value: ir.Value, path: str) -> None:
    """One sequence, any number of rows."""
    if value.shape is None:
        raise InputError(f"{path}: input {quoted(value.name or '')}: expected a rank, got none")
    extents: list[int | str | None] = [
        extent if isinstance(extent, int) else extent.value for extent in value.shape
    ]
    known = [extent for extent in extents if isinstance(extent, int)]
    if min(known, default=1) < 1 or prod(known) > _LARGEST_INPUT:
        raise InputError(
            f"{path}: input {quoted(value.name or '')}: expected extents of 1 or more and at most "
            f"{_LARGEST_INPUT} elements, got {extents}"
        )
    meaning = meaning_of(value, path)
    if meaning in (Meaning.TOKENS, Meaning.POSITIONS):
        extents = [*([1] * (len(extents) - 1)), *([ROWS] if extents else [])]
    elif len(extents) > 1 and not isinstance(extents[0], int):
        extents[0] = 1
    value.shape = ir.Shape(extents)
