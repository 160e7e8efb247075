"""A builder of small ONNX models for tests: one call per node, seeded weights."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Attribute = int | float | str | Sequence[int] | Sequence[float] | onnx.TensorProto | onnx.GraphProto

# The oldest IR version that allows what the opset needs.
IR_VERSIONS = {9: 4, 11: 6, 13: 7, 17: 8, 18: 8, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13}


class TinyBuilder:
    """Collects nodes; every node has one output unless told otherwise."""

    def __init__(self, opset: int = 18, contrib: bool = False, seed: int = 0) -> None:
        self.opset = opset
        self.contrib = contrib
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.functions: list[onnx.FunctionProto] = []
        self.count = 0

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def input(
        self, name: str, shape: Sequence[int | str], data_type: int = TensorProto.FLOAT
    ) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, data_type, list(shape)))
        return name

    def output(
        self,
        name: str,
        shape: Sequence[int | str | None] | None = None,
        data_type: int = TensorProto.FLOAT,
    ) -> str:
        self.outputs.append(helper.make_tensor_value_info(name, data_type, shape))
        return name

    def constant(self, value: object, data_type: type | str = np.float32, name: str = "") -> str:
        """An initializer with a given value."""
        name = name or self.fresh("constant")
        self.initializers.append(numpy_helper.from_array(np.array(value, dtype=data_type), name))
        return name

    def weight(self, *shape: int, name: str = "", scale: float = 0.0) -> str:
        """A normally distributed fp32 initializer, scaled to keep variance unless told."""
        fan_in = int(np.prod(shape[1:])) if len(shape) > 2 else shape[0]
        scale = scale or fan_in**-0.5
        values = self.random.standard_normal(shape).astype(np.float32) * np.float32(scale)
        return self.constant(values, name=name or self.fresh("weight"))

    def positive(self, *shape: int, name: str = "") -> str:
        """A fp32 initializer between 0.5 and 1.5 (scales, variances)."""
        values = self.random.uniform(0.5, 1.5, shape).astype(np.float32)
        return self.constant(values, name=name or self.fresh("weight"))

    def nodes_of(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: int | Sequence[str],
        domain: str = "",
        **attributes: Attribute,
    ) -> list[str]:
        """A node with any number of outputs."""
        if isinstance(outputs, int):
            outputs = [self.fresh(op.lower()) for _ in range(outputs)]
        name = self.fresh(f"node_{op}")
        self.nodes.append(
            helper.make_node(op, list(inputs), list(outputs), name, domain=domain, **attributes)
        )
        return list(outputs)

    def node(
        self, op: str, *inputs: str, to: str = "", domain: str = "", **attributes: Attribute
    ) -> str:
        """A node with one output."""
        outputs = [to] if to else 1
        return self.nodes_of(op, inputs, outputs, domain, **attributes)[0]

    def cast(self, value: str, data_type: int) -> str:
        """A Cast (its attribute is called `to`, as is the output's name in `node`)."""
        output = self.fresh("cast")
        name = self.fresh("node_Cast")
        self.nodes.append(helper.make_node("Cast", [value], [output], name, to=data_type))
        return output

    def batch_norm(self, value: str, channels: int, epsilon: float = 1e-5) -> str:
        return self.node(
            "BatchNormalization",
            value,
            self.positive(channels),
            self.weight(channels, scale=0.1),
            self.weight(channels, scale=0.1),
            self.positive(channels),
            epsilon=epsilon,
        )

    def build(self, name: str = "tiny") -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        if self.contrib:
            opsets.append(helper.make_opsetid("com.microsoft", 1))
        opsets += [helper.make_opsetid(function.domain, 1) for function in self.functions[:1]]
        oldest = min(version for version in IR_VERSIONS if version >= self.opset)
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSIONS[oldest], functions=self.functions
        )
        if self.functions:
            model.ir_version = max(model.ir_version, 8)
        return model
