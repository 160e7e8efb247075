"""Graphs written as text, loaded as the compiler loads models, and their kernels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.parser

from egrl.compression.compress import Compression, compress
from graph_ir.load import load_model
from graph_ir.model import Model
from graph_ir.passes.pipeline import run_lossless
from graph_ir.save import save_model
from runtime.manifest import Execution
from runtime.profile_graph import executed_graph
from runtime.session import make_session, run_session

FAST = Execution(accuracy_level=4)
PRECISE = Execution(accuracy_level=1)


def graph_model(
    text: str, constants: Mapping[str, np.ndarray | onnx.TensorProto], opset: int = 21
) -> onnx.ModelProto:
    """`agraph (...) => (...) {...}` with initializers."""
    head = f'<ir_version: 10, opset_import: ["" : {opset}, "com.microsoft" : 1]>\n'
    model = onnx.parser.parse_model(head + text)
    for name, value in constants.items():
        tensor = (
            value if isinstance(value, onnx.TensorProto) else onnx.numpy_helper.from_array(value)
        )
        tensor.name = name
        model.graph.initializer.append(tensor)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"n{index}"
    return model


def loaded(folder: Path, proto: onnx.ModelProto) -> Model:
    """As `compile` has it before compressions."""
    onnx.save(proto, folder / "source.onnx")
    model = load_model(folder / "source.onnx")
    run_lossless(model.graph_model)
    return model


def compressed(folder: Path, proto: onnx.ModelProto, *specs: str) -> tuple[Model, list[str]]:
    """A compressed model, and the kernels that execute it in order."""
    model = loaded(folder, proto)
    compress(model, Compression(specs))
    return model, kernels_of(folder, model)


def kernels_of(folder: Path, model: Model, execution: Execution = FAST) -> list[str]:
    """Types of the nodes that onnxruntime executes."""
    save_model(model.graph_model, folder, "kernels")
    return [kernel.op_type for kernel in executed_graph(folder / "kernels.onnx", execution).kernels]


def outputs_of(
    folder: Path,
    model: Model,
    feeds: Mapping[str, np.ndarray],
    execution: Execution = PRECISE,
) -> dict[str, np.ndarray]:
    """What a model computes."""
    save_model(model.graph_model, folder, "outputs")
    return run_session(make_session(folder / "outputs.onnx", execution), feeds)


def normal(seed: int, shape: Sequence[int]) -> np.ndarray:
    """Seeded standard normal float32."""
    return np.random.default_rng(seed).standard_normal(tuple(shape)).astype(np.float32)
