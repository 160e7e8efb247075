"""onnxruntime as the engine that compression methods run models with."""

from collections.abc import Sequence

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
# Without their weights prepacked these run a hundred times slower; all others as fast.
_NEED_PREPACKING = ("com.microsoft::MatMulNBits", "com.microsoft::GatherBlockQuantized")


class OnnxRuntimeRunner(Runner):
    """Runs models in onnxruntime, unfused, so that quantized weights meet float32 activations.

    Weights are lent to the session, not copied into it.
    """

    def __init__(self, threads: int = 1, level: str = "basic") -> None:
        """Args: threads of a session; level of graph optimization, see `runtime.session`."""
        self._threads = threads
        self._level = level

    def open(self, model: ir.Model, outputs: Sequence[str]) -> Execute:
        """See `Runner.open`."""
        proto, lent = _split(_with_outputs(model, outputs))
        options = ort.SessionOptions()
        options.graph_optimization_level = LEVELS[self._level]
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if not any(op_key(node) in _NEED_PREPACKING for node in model.graph):
            options.add_session_config_entry("session.disable_prepacking", "1")
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


def _split(model: ir.Model) -> tuple[onnx.ModelProto, dict[str, tuple[ort.OrtValue, Array]]]:
    """The model without its large constants, and these."""
    lent: dict[str, tuple[ort.OrtValue, Array]] = {}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.dtype == ir.DataType.STRING:
            continue
        if tensor.nbytes <= _INLINE_BYTES or tensor.dtype.bitwidth < 8:
            if isinstance(tensor, ir.ExternalTensor):
                array = np.array(tensor.numpy())
                value.const_value = ir.Tensor(array, dtype=tensor.dtype, name=name)
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
    return proto, lent
