"""Structural checks of a freshly parsed model: names, edges, declared sizes."""

import graphlib
from collections.abc import Iterator, Set
from pathlib import Path

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from graph_ir.errors import InputError
from graph_ir.external_data import check_external_tensor
from graph_ir.tensor_checks import check_inline_tensor
from graph_ir.text import quoted

# Sparse tensors, types and undefined ones are left out: no supported operator takes them.
_ATTRIBUTE_TYPES = frozenset(
    {
        onnx.AttributeProto.FLOAT,
        onnx.AttributeProto.INT,
        onnx.AttributeProto.STRING,
        onnx.AttributeProto.TENSOR,
        onnx.AttributeProto.GRAPH,
        onnx.AttributeProto.FLOATS,
        onnx.AttributeProto.INTS,
        onnx.AttributeProto.STRINGS,
        onnx.AttributeProto.TENSORS,
        onnx.AttributeProto.GRAPHS,
    }
)


def check_proto(proto: onnx.ModelProto, source: Path) -> tuple[Path, ...]:
    """Checks everything that can be checked without knowing the operators.

    Where external data is fine, its location becomes the absolute path that was checked.

    Args:
        proto: the parsed model.
        source: its file; external data is looked for beside it.

    Returns:
        The external data files, in order of first use.

    Raises:
        InputError: duplicate or missing names, dangling inputs, cycles, sizes that do not match.
    """
    _check_text(proto, str(source))
    _check_graph(proto.graph, str(source), frozenset())
    for function in proto.functions:
        _check_function(function, str(source))
    data_files: dict[Path, None] = {}
    for name, tensor in _tensors(proto):
        where = f"{source}: tensor {quoted(name)}"
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            data_files[check_external_tensor(where, tensor, source)] = None
        else:
            check_inline_tensor(where, tensor)
    return tuple(data_files)


def _check_text(message: Message, source: str) -> None:
    """Protobuf hands out names that are not UTF-8 as bytes, or fails when they are read."""
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for part in [value] if isinstance(value, Message) else value:
                _check_text(part, source)
        elif field.type == FieldDescriptor.TYPE_STRING:
            try:
                texts = [value] if isinstance(value, (str, bytes)) else list(value)
                valid = all(isinstance(text, str) for text in texts)
            except UnicodeDecodeError:
                valid = False
            if not valid:
                raise InputError(f"{source}: text in {field.full_name} is not UTF-8")


def _check_graph(graph: onnx.GraphProto, source: str, outer: Set[str]) -> None:
    inputs = [value.name for value in graph.input]
    initializers = [tensor.name for tensor in graph.initializer]
    initializers += [sparse.values.name for sparse in graph.sparse_initializer]
    produced = [name for node in graph.node for name in node.output if name]
    _check_unique(inputs, f"{source}: input")
    _check_unique(initializers, f"{source}: initializer")
    # An initializer may also be an input (its default value), a node's output may be neither.
    _check_unique([*produced, *dict.fromkeys([*inputs, *initializers])], f"{source}: value")
    _check_unique([node.name for node in graph.node if node.name], f"{source}: node")
    _check_unique([value.name for value in graph.output], f"{source}: output")
    known = outer | {*inputs, *initializers, *produced}
    for index, node in enumerate(graph.node):
        where = f"{source}: {describe(node, index)}"
        for name in node.input:
            if name and name not in known:
                raise InputError(f"{where}: its input {quoted(name)} is produced by nothing")
        _check_attributes(node, where)
        for attribute in node.attribute:
            for subgraph in _subgraphs(attribute):
                _check_graph(subgraph, source, known)
    for value in graph.output:
        if value.name not in known:
            raise InputError(f"{source}: output {quoted(value.name)} is produced by nothing")
    _check_acyclic(list(graph.node), source)


def _check_function(function: onnx.FunctionProto, source: str) -> None:
    where = f"{source}: function {quoted(function.name)}"
    produced = [name for node in function.node for name in node.output if name]
    _check_unique([*function.input, *produced], f"{where}: value")
    known = {*function.input, *produced}
    for index, node in enumerate(function.node):
        for name in node.input:
            if name and name not in known:
                raise InputError(
                    f"{where}: {describe(node, index)}: input {quoted(name)} is produced by nothing"
                )
        _check_attributes(node, where)
        for attribute in node.attribute:
            for subgraph in _subgraphs(attribute):
                _check_graph(subgraph, where, known)
    for name in function.output:
        if name not in known:
            raise InputError(f"{where}: output {quoted(name)} is produced by nothing")
    _check_acyclic(list(function.node), where)


def _check_attributes(node: onnx.NodeProto, where: str) -> None:
    _check_unique([attribute.name for attribute in node.attribute], f"{where}: attribute")
    for attribute in node.attribute:
        if attribute.type not in _ATTRIBUTE_TYPES:
            raise InputError(
                f"{where}: attribute {quoted(attribute.name)}: unsupported type {attribute.type}"
            )


def _check_unique(names: list[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise InputError(f"{where}: has no name")
        if name in seen:
            raise InputError(f"{where} {quoted(name)}: the name is given twice")
        seen.add(name)


def _check_acyclic(nodes: list[onnx.NodeProto], source: str) -> None:
    producer = {name: index for index, node in enumerate(nodes) for name in node.output}
    sorter = graphlib.TopologicalSorter[int]()
    for index, node in enumerate(nodes):
        read = sorted({producer[name] for name in _names_read(node) if name in producer})
        sorter.add(index, *read)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        cycle = [describe(nodes[index], index) for index in error.args[1]]
        raise InputError(f"{source}: cycle: {' -> '.join(cycle[:6])}") from error


def _names_read(node: onnx.NodeProto) -> Iterator[str]:
    """Values that a node needs, those that its subgraphs capture included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for subgraph in _subgraphs(attribute):
            local = {value.name for value in subgraph.input}
            local.update(tensor.name for tensor in subgraph.initializer)
            local.update(name for inner in subgraph.node for name in inner.output)
            captured = [name for inner in subgraph.node for name in _names_read(inner)]
            captured += [value.name for value in subgraph.output]
            yield from (name for name in captured if name not in local)


def _subgraphs(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    single = [attribute.g] if attribute.HasField("g") else []
    return [*single, *attribute.graphs]


def _tensors(proto: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    yield from _graph_tensors(proto.graph)
    for function in proto.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    name = node.output[0] if node.output else node.name
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield name, attribute.t
        for tensor in attribute.tensors:
            yield name, tensor
        for subgraph in _subgraphs(attribute):
            yield from _graph_tensors(subgraph)


def describe(node: onnx.NodeProto, index: int) -> str:
    """Name and operator of a node, or its position where it has no name."""
    name = quoted(node.name) if node.name else f"#{index}"
    return f"node {name} ({quoted(node.op_type)[1:-1]})"
