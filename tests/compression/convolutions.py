"""Small networks of convolutions, and helpers that look at what onnxruntime makes of them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from egrl.compression.compress import Compression, compress
from graph_ir.load import load_model
from graph_ir.passes.pipeline import run_lossless
from graph_ir.save import save_model
from runtime.manifest import Execution
from runtime.session import make_session


def initializer(name, array):
    return numpy_helper.from_array(np.ascontiguousarray(array), name)


def weight(rng, *shape):
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def network(nodes, constants, x_shape, y_shape, opset=17):
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y_shape)],
        [initializer(name, array) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def one_convolution(*, groups=1, bias=True, clamp="", seed=0, channels=8, width=9):
    """`y = clamp(conv(x))`, 3 x 3 with padding."""
    rng = np.random.default_rng(seed)
    constants = {"w": weight(rng, 16, channels // groups, 3, 3), "lo": np.float32(0)}
    constants["hi"] = np.float32(1.5)
    inputs = ["x", "w"]
    if bias:
        constants["b"] = rng.standard_normal(16).astype(np.float32)
        inputs.append("b")
    attributes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "group": groups}
    end = {"": "y"}.get(clamp, "c")
    nodes = [helper.make_node("Conv", inputs, [end], "conv", **attributes)]
    if clamp == "Relu":
        nodes.append(helper.make_node("Relu", ["c"], ["y"], "clamp"))
    elif clamp == "Clip":
        nodes.append(helper.make_node("Clip", ["c", "lo", "hi"], ["y"], "clamp"))
    shape = [1, channels, width, width]
    return network(nodes, constants, shape, [1, 16, width, width])


def residual_network(seed=0):
    """Stem, a residual block with a depthwise convolution, pools and a classifier."""
    rng = np.random.default_rng(seed)
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], "stem", **pads),
        helper.make_node("Clip", ["a", "lo", "hi"], ["stem_out"], "stem_clip"),
        helper.make_node("Conv", ["stem_out", "w2", "b2"], ["d"], "depthwise", group=16, **pads),
        helper.make_node("Relu", ["d"], ["depthwise_out"], "depthwise_relu"),
        helper.make_node("Conv", ["depthwise_out", "w3"], ["project_out"], "project"),
        helper.make_node("Add", ["project_out", "stem_out"], ["sum"], "add"),
        helper.make_node(
            "MaxPool", ["sum"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]
        ),
        helper.make_node("GlobalAveragePool", ["pooled"], ["mean"], "average"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w4", "b4"], ["y"], "classifier", transB=1),
    ]
    constants = {
        "w1": weight(rng, 16, 3, 3, 3),
        "b1": weight(rng, 16),
        "lo": np.float32(0),
        "hi": np.float32(6),
        "w2": weight(rng, 16, 1, 3, 3),
        "b2": weight(rng, 16),
        "w3": weight(rng, 16, 16, 1, 1),
        "w4": weight(rng, 20, 16),
        "b4": weight(rng, 20),
    }
    return network(nodes, constants, [1, 3, 12, 12], [1, 20])


def compressed(tmp_path: Path, proto, flag, samples=None, **asked):
    """The compressed model, and what was done."""
    onnx.save(proto, tmp_path / "source.onnx")
    if samples is not None:
        folder = tmp_path / "calibration"
        folder.mkdir(exist_ok=True)
        for at, sample in enumerate(samples):
            np.savez(folder / f"{at}.npz", x=sample)
        asked["calibration"] = folder
    model = load_model(tmp_path / "source.onnx")
    run_lossless(model.graph_model)
    done = compress(model, Compression((flag,), **asked))
    save_model(model.graph_model, tmp_path, "compressed")
    return model, done


def executed_ops(path: Path, accuracy_level=None):
    """Types of the nodes that onnxruntime executes, in order."""
    fused = path.with_name("fused.onnx")
    make_session(path, Execution(accuracy_level=accuracy_level), dump=fused)
    return [node.op_type for node in onnx.load(fused, load_external_data=False).graph.node]


def run(path: Path, x, level="all", accuracy_level=None):
    options = Execution(optimization_level=level, accuracy_level=accuracy_level)
    (y,) = make_session(path, options).run(None, {"x": x})
    return y


def source_outputs(proto, x):
    session = ort.InferenceSession(proto.SerializeToString())
    (y,) = session.run(None, {"x": x})
    return y


def constants_of(path: Path):
    """Arrays and element types of the initializers, by name."""
    graph = onnx.load(path).graph
    return {t.name: (numpy_helper.to_array(t), t.data_type) for t in graph.initializer}
