"""A small builder for graphs written by hand."""

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Attributes = dict[str, int | float | str | list[int]]


class Graph:
    """Collects nodes and weights in order; every node is named after what it computes."""

    def __init__(self, name: str, opset: int) -> None:
        self.name = name
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def add_input(self, name: str, shape: list[int | str], dtype: int = TensorProto.FLOAT) -> str:
        """Declares a graph input."""
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def add_output(self, name: str, shape: list[int | str], dtype: int = TensorProto.FLOAT) -> None:
        """Declares a graph output."""
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def weight(self, name: str, array: np.ndarray) -> str:
        """Adds a constant stored inside the model file."""
        self.weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def external_weight(self, name: str, location: str, shape: list[int], offset: int) -> str:
        """Adds a float32 constant that lies in a data file beside the model."""
        size_bytes = 4 * math.prod(shape)
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", offset), ("length", size_bytes)):
            tensor.external_data.add(key=key, value=str(value))
        self.weights.append(tensor)
        return name

    def node(
        self,
        op_type: str,
        inputs: list[str],
        name: str,
        attributes: Attributes | None = None,
        output: str | None = None,
    ) -> str:
        """Adds a node with one output and returns that output's name."""
        result = output or f"{name}.out"
        self.nodes.append(
            helper.make_node(op_type, inputs, [result], name=name, **(attributes or {}))
        )
        return result

    def save(self, path: Path) -> None:
        """Checks the model and writes it."""
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(
            graph,
            opset_imports=opsets,
            producer_name="egrl model set",
            ir_version=helper.find_min_ir_version_for(opsets),
        )
        onnx.save_model(model, path)
