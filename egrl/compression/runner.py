"""onnxruntime as the engine that compression methods run models with."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from graph_ir.compression.method import Array, Execute, Feeds, Runner
from graph_ir.errors import InputError
from graph_ir.onnx_values import op_key
from runtime.session import LEVELS, ORT_ERRORS, one_line

# onnxruntime does not take smaller constants from outside the model's bytes well: it wants to know
# shapes and indices while it loads.
_INLINE_BYTES = 4096
_FOLDER = "session.model_external_initializers_file_folder_path"
# Without their weights prepacked these run a hundred times slower; all others as fast.
_NEED_PREPACKING = ("com.microsoft::MatMulNBits", "com.microsoft::GatherBlockQuantized")
# Samples that run at the same time: each has its own values in memory.
_AT_ONCE = 4


class OnnxRuntimeRunner(Runner):
    """Runs models in onnxruntime, unfused, so that quantized weights meet float32 activations.

    Weights in a mapped file are mapped by the session too, without a copy; others are lent to it.
    (onnxruntime copies those all the same, which is as much memory as a stage's weights take.)
    """

    def __init__(self, threads: int = 1, level: str = "basic") -> None:
        """Args: threads of a session; level of graph optimization, see `runtime.session`."""
        self._threads = threads
        self._level = level

    def run(
        self, model: ir.Model, samples: Sequence[Feeds], outputs: Sequence[str]
    ) -> list[dict[str, Array]]:
        """See `Runner.run`; samples run in parallel, each as it would alone."""
        execute = self.open(model, outputs)
        workers = min(os.cpu_count() or 1, len(samples), _AT_ONCE)
        if workers < 2:
            return [execute(sample) for sample in samples]
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(execute, samples))

    def open(self, model: ir.Model, outputs: Sequence[str]) -> Execute:
        """See `Runner.open`."""
        proto, lent, folder = _split(_with_outputs(model, outputs))
        options = ort.SessionOptions()
        options.enable_cpu_mem_arena = False  # It never gives memory back, and is no faster here.
        options.graph_optimization_level = LEVELS[self._level]
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if not any(op_key(node) in _NEED_PREPACKING for node in model.graph):
            options.add_session_config_entry("session.disable_prepacking", "1")
        if folder:
            options.add_session_config_entry(_FOLDER, folder)
        names = list(outputs)
        try:
            if lent:
                options.add_external_initializers(list(lent), [v for v, _ in lent.values()])
            session = ort.InferenceSession(
                proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except ORT_ERRORS as error:
            raise InputError(f"onnxruntime cannot load the model: {one_line(error)}") from error

        def execute(feeds: Feeds, lent: object = lent) -> dict[str, Array]:
            del lent  # held, because the session reads its arrays
            try:
                values = session.run(names, feeds)
            except ORT_ERRORS as error:
                raise InputError(f"onnxruntime failed: {one_line(error)}") from error
            return dict(zip(names, values, strict=True))

        return execute


def _with_outputs(model: ir.Model, outputs: Sequence[str]) -> ir.Model:
    """A copy that shares tensors and computes nothing but the outputs asked for."""
    graph = ir.convenience.extract(model.graph, list(model.graph.inputs), list(outputs))
    return ir.Model(graph, ir_version=model.ir_version, functions=tuple(model.functions.values()))


def _split(
    model: ir.Model,
) -> tuple[onnx.ModelProto, dict[str, tuple[ort.OrtValue, Array]], str]:
    """The model without its large constants, those of them that are lent, the folder of others."""
    lent: dict[str, tuple[ort.OrtValue, Array]] = {}
    folder = ""
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.dtype == ir.DataType.STRING:
            continue
        if tensor.nbytes <= _INLINE_BYTES or tensor.dtype.bitwidth < 8:
            if isinstance(tensor, ir.ExternalTensor):
                array = np.array(tensor.numpy())
                value.const_value = ir.Tensor(array, dtype=tensor.dtype, name=name)
            continue
        if isinstance(tensor, ir.ExternalTensor) and folder in ("", _folder_of(tensor)):
            folder = _folder_of(tensor)
            value.const_value = ir.ExternalTensor(
                os.path.basename(tensor.path),
                offset=tensor.offset,
                length=tensor.length,
                dtype=tensor.dtype,
                shape=tensor.shape,
                name=name,
            )
            continue
        array = np.ascontiguousarray(tensor.numpy())
        lent[name] = (
            ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, int(tensor.dtype)),
            array,
        )
        value.const_value = ir.ExternalTensor(
            "lent",
            offset=0,
            length=tensor.nbytes,
            dtype=tensor.dtype,
            shape=ir.Shape(array.shape),
            name=name,
        )
    proto: onnx.ModelProto = ir.serde.serialize_model(model)
    return proto, lent, folder


def _folder_of(tensor: ir.ExternalTensor) -> str:
    """Of the file that holds it."""
    return os.path.dirname(os.path.abspath(tensor.path))
