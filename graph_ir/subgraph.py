"""Cutting ops out of a model, each as a model of its own.

The inputs of such a model are exactly the values that own memory, weights among them; what
belongs to the op's command (shapes, axes, bounds, scalars) is embedded.
"""

from collections.abc import Sequence

import onnx
import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.fusion.immediates import is_immediate
from graph_ir.onnx_values import op_key, value_name


class SubgraphExtractor:
    """Cuts any number of ops out of one model; the model is indexed once."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._nodes = {node.name or "": node for node in model.graph}
        self._opsets = [
            onnx.helper.make_opsetid(domain, version)
            for domain, version in model.opset_imports.items()
        ]

    def extract(self, node_names: Sequence[str], output_names: Sequence[str]) -> onnx.ModelProto:
        """A stand-alone model of some nodes.

        Args:
            node_names: in topological order, as in `LoweredGroup.node_names`.
            output_names: the values that it returns.

        Raises:
            InputError: where the model has no such node, or the nodes compute no such value.
        """
        nodes = [self._node(name) for name in node_names]
        inside = {value for node in nodes for value in node.outputs}
        inputs: dict[ir.Value, None] = {}
        embedded: dict[ir.Value, None] = {}
        for node in nodes:
            for at, value in enumerate(node.inputs):
                if value is None or value in inside:
                    continue
                if is_immediate(node, at):
                    embedded[value] = None
                else:
                    inputs[value] = None
        by_name = {value_name(value): value for value in inside}
        missing = next((name for name in output_names if name not in by_name), None)
        if missing is not None:
            raise InputError(f"op of node {node_names[-1]}: expected to compute value {missing}")
        outputs = [by_name[name] for name in output_names]
        graph = onnx.helper.make_graph(
            [ir.to_proto(node) for node in nodes],
            node_names[-1],
            [ir.serde.serialize_value(value) for value in inputs],
            [ir.serde.serialize_value(value) for value in outputs],
            [_tensor(value) for value in embedded if value not in inputs],
            value_info=[
                ir.serde.serialize_value(value)
                for node in nodes
                for value in node.outputs
                if value not in outputs and value.shape is not None and value.type is not None
            ],
        )
        return onnx.helper.make_model(
            graph,
            opset_imports=self._opsets,
            ir_version=self._model.ir_version,
            functions=self._functions(nodes),
        )

    def _node(self, name: str) -> ir.Node:
        node = self._nodes.get(name)
        if node is None:
            raise InputError(f"model {self._model.graph.name}: it has no node called {name!r}")
        return node

    def _functions(self, nodes: list[ir.Node]) -> list[onnx.FunctionProto]:
        """All model-local functions, where any of the nodes calls one."""
        functions = self._model.functions
        if not any(node.op_identifier() in functions for node in nodes):
            return []
        return [ir.to_proto(function) for function in functions.values()]


def extract(
    model: ir.Model, node_names: Sequence[str], output_names: Sequence[str]
) -> onnx.ModelProto:
    """One op as a stand-alone model; for many, keep a `SubgraphExtractor`."""
    return SubgraphExtractor(model).extract(node_names, output_names)


def _tensor(value: ir.Value) -> onnx.TensorProto:
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None:
        producer = value.producer()
        kind = "initializer" if producer is None else op_key(producer)
        raise InputError(f"value {value_name(value)} ({kind}): expected a constant")
    proto = onnx.numpy_helper.from_array(tensor.numpy(), value_name(value))
    if proto.data_type != tensor.dtype:
        proto = ir.to_proto(tensor)
        proto.name = value_name(value)
    return proto
