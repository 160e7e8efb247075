"""What onnxruntime makes of a graph: the nodes that it executes, joined to ours by tensor names."""

import tempfile
from pathlib import Path

import onnx

from graph_ir.compression.forms import Constant, Executed, Kernel
from runtime.manifest import Execution
from runtime.session import make_session


def executed_graph(model: Path, execution: Execution) -> Executed:
    """Makes a session and reads the graph that it would execute.

    Args:
        model: ONNX file, external data beside it.
        execution: options of the session.

    Raises:
        InputError: onnxruntime refuses the model.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "optimized.onnx"
        make_session(model, execution, dump=path)
        return read_executed(path, model)


def read_executed(dump: Path, model: Path) -> Executed:
    """The graph that a session wrote, joined to the one that it was made of."""
    optimized = onnx.load(dump, load_external_data=False).graph
    source = onnx.load(model, load_external_data=False).graph
    return Executed(_kernels(optimized, _names(source)), _constants(optimized))


def _names(graph: onnx.GraphProto) -> frozenset[str]:
    return frozenset(name for node in graph.node for name in node.output if name)


def _constants(graph: onnx.GraphProto) -> dict[str, Constant]:
    return {
        tensor.name: Constant(
            onnx.TensorProto.DataType.Name(tensor.data_type), tuple(int(d) for d in tensor.dims)
        )
        for tensor in graph.initializer
    }


def _kernels(graph: onnx.GraphProto, known: frozenset[str]) -> tuple[Kernel, ...]:
    """The nodes in order, each with the first value of ours at or behind its outputs."""
    found: list[Kernel] = []
    readers: dict[str, str] = {}
    for node in reversed(graph.node):
        value = next((name for name in (*node.output, _blocked(node.name)) if name in known), "")
        if not value:
            value = next((readers[name] for name in node.output if name in readers), "")
        for name in node.input:
            if name and value:
                readers[name] = value
        found.append(
            Kernel(
                node.name,
                node.op_type,
                node.domain if node.domain != "ai.onnx" else "",
                tuple(node.input),
                tuple(node.output),
                {a.name: a.i for a in node.attribute if a.type == onnx.AttributeProto.INT},
                value,
            )
        )
    return tuple(reversed(found))


def _blocked(node_name: str) -> str:
    """The tensor after which onnxruntime names what computes it in blocks of channels."""
    return node_name.partition("_nchwc")[0]
