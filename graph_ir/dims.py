"""Gives the symbolic dimensions of a model's inputs their values."""

import ast
from collections.abc import Mapping

import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.folding import check_extents
from graph_ir.node_forms import form_of
from graph_ir.text import quoted


def bind_dims(graph: ir.Graph, dims: Mapping[str, int], source: str) -> None:
    """Makes the shape of every graph input static.

    A dimension is called by its symbol, or `input:axis` where it has none. A symbol such as
    `past + length` follows from the symbols in it unless it is given itself.

    Args:
        graph: whose inputs are changed in place.
        dims: values by name.
        source: file name, for messages.

    Raises:
        InputError: a name that the model does not have, a bad value, or a dimension left open.
    """
    names = dimension_names(graph, source)
    unused = set(dims)
    missing: dict[str, str] = {}
    for name, given in dims.items():
        if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < 2**31:
            raise InputError(f"{source}: dimension {quoted(name)}: {given!r} is not a valid extent")
    for graph_input in graph.inputs:
        assert graph_input.shape is not None
        extents: list[int] = []
        for axis, extent in enumerate(graph_input.shape):
            if isinstance(extent, int) and extent >= 0:
                extents.append(extent)
                continue
            name = _name(graph_input, axis)
            value, used = _value(name, dims)
            if value is None:
                missing.setdefault(name, graph_input.name or "")
                continue
            if value < 0:
                raise InputError(
                    f"{source}: dimension {quoted(name)} comes to {value}, expected 0 or more"
                )
            unused -= used
            extents.append(value)
        if not missing:
            graph_input.shape = ir.Shape(extents)
            where = f"{source}: input {quoted(graph_input.name or '')}"
            check_extents(form_of(graph_input), where)
    if missing:
        where = ", ".join(f"{quoted(name)} (of {quoted(of)})" for name, of in missing.items())
        options = " ".join(f"--dim {name}=N" for name in missing)
        raise InputError(f"{source}: dimensions without a value: {where}; give {options}")
    if unused:
        known = ", ".join(quoted(name) for name in names) or "none"
        raise InputError(f"{source}: no dimension called {quoted(min(unused))}; it has: {known}")


def dimension_names(graph: ir.Graph, source: str) -> tuple[str, ...]:
    """Names of all symbolic dimensions of a graph's inputs, in order of first use.

    Raises:
        InputError: an input that is not a tensor, or has no shape at all.
    """
    names: dict[str, None] = {}
    for graph_input in graph.inputs:
        where = f"{source}: input {quoted(graph_input.name or '')}"
        if graph_input.type is None or graph_input.dtype in (None, ir.DataType.UNDEFINED):
            raise InputError(f"{where}: it has no type")
        if not isinstance(graph_input.type, ir.TensorType):
            raise InputError(f"{where}: expected a tensor, got {quoted(str(graph_input.type))}")
        if graph_input.shape is None:
            raise InputError(f"{where}: it has no shape; its rank must be in the file")
        for axis, extent in enumerate(graph_input.shape):
            if not isinstance(extent, int) or extent < 0:
                names[_name(graph_input, axis)] = None
    return tuple(names)


def _name(graph_input: ir.Value, axis: int) -> str:
    assert graph_input.shape is not None
    extent = graph_input.shape[axis]
    symbol = extent.value if isinstance(extent, ir.SymbolicDim) else None
    # Some exporters write a question mark for every dimension that they do not know.
    return symbol if symbol and symbol != "?" else f"{graph_input.name}:{axis}"


def _value(name: str, dims: Mapping[str, int]) -> tuple[int | None, set[str]]:
    """Value of a dimension, None where it is open, and the given names that it used."""
    if name in dims:
        return dims[name], {name}
    try:
        tree = ast.parse(name.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, set()
    if isinstance(tree, ast.Name):
        return None, set()
    used: set[str] = set()
    try:
        return _evaluate(tree, dims, used), used
    except (LookupError, ZeroDivisionError, RecursionError):
        return None, set()


def _evaluate(tree: ast.expr, dims: Mapping[str, int], used: set[str]) -> int:
    """Integer arithmetic on names; anything else is a LookupError."""
    match tree:
        case ast.Constant(value=int(value)):
            return value
        case ast.Name(id=name):
            used.add(name)
            return dims[name]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _evaluate(left, dims, used) + _evaluate(right, dims, used)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _evaluate(left, dims, used) - _evaluate(right, dims, used)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _evaluate(left, dims, used) * _evaluate(right, dims, used)
        case ast.BinOp(left=left, op=ast.FloorDiv(), right=right):
            return _evaluate(left, dims, used) // _evaluate(right, dims, used)
    raise LookupError(ast.dump(tree))
