"""A small builder for the graphs of these tests: every call adds a node and returns its output."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


class Builder:
    def __init__(self, opset=18):
        self.opset = opset
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.domains = {}
        self.known = {}

    def input(self, name, shape, dtype=FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name, shape, dtype=FLOAT):
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def const(self, array, name=None):
        """A constant; small integers are shared."""
        array = np.asarray(array)
        key = (array.tobytes(), array.shape, array.dtype.str)
        if name is None and key in self.known:
            return self.known[key]
        name = name or f"const_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        self.weights[-1].dims[:] = array.shape
        self.known.setdefault(key, name)
        return name

    def ints(self, *values):
        return self.const(np.array(values, np.int64))

    def scalar(self, value):
        return self.const(np.array(value, np.int64))

    def real(self, value):
        return self.const(np.array(value, np.float32))

    def op(self, kind, *inputs, out=None, outputs=1, domain="", overload="", **attributes):
        """One node; its output, or the list of its outputs where there are several."""
        at = len(self.nodes)
        names = [f"{kind.lower()}_{at}" + (f"_{n}" if n else "") for n in range(outputs)]
        if out is not None:
            names = [out] if isinstance(out, str) else list(out)
        node = helper.make_node(kind, inputs, names, f"{kind}_{at}", domain=domain, **attributes)
        if overload:
            node.overload = overload
        if domain:
            self.domains[domain] = 1
        self.nodes.append(node)
        return names[0] if len(names) == 1 else names

    def dim(self, value, axis):
        """An extent as a scalar."""
        return self.op("Gather", self.op("Shape", value), self.scalar(axis), axis=0)

    def model(self, functions=()):
        graph = helper.make_graph(self.nodes, "test", self.inputs, self.outputs, self.weights)
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(domain, version) for domain, version in self.domains.items()]
        version = max(helper.find_min_ir_version_for([opsets[0]]), 8)
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=version, functions=list(functions)
        )

    def save(self, path):
        onnx.save(self.model(), path)
        return path
