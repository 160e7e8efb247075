"""One onnxruntime session per op of a plan; ops of equal structure share one.

Ops are taken out of their graph with names that only that graph gives. Renamed in order of
appearance, equal ops are equal bytes, so the twelve layers of a transformer cost one layer's
sessions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx
import onnxruntime as ort

from runtime.host_types import HostType
from runtime.manifest import Execution
from runtime.session import ORT_ERRORS, make_session, one_line

# Every op is executed as the reference is: by the kernels that the model's own nodes name.
EXACT = Execution(optimization_level="disable", intra_op_threads=1)


@dataclass(frozen=True, slots=True)
class Binding:
    """A value bound to memory: its type and the address of its first byte."""

    type: HostType
    address: int


@dataclass(frozen=True, slots=True)
class OpSession:
    """A session and the names that it knows the op's values by.

    Attributes:
        session: shared by ops of equal structure.
        inputs: the session's name of each input, by the graph's.
        outputs: likewise.
    """

    session: ort.InferenceSession
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def run(self, inputs: Mapping[str, Binding], outputs: Mapping[str, Binding]) -> str:
        """Execute the op on bound memory, without copies.

        Args:
            inputs: by the graph's names.
            outputs: by the graph's names.

        Returns:
            What onnxruntime says where it fails, else "".
        """
        binding = self.session.io_binding()
        for name, own in self.inputs.items():
            _bind(binding.bind_input, own, inputs[name])
        for name, own in self.outputs.items():
            _bind(binding.bind_output, own, outputs[name])
        try:
            self.session.run_with_iobinding(binding)
        except ORT_ERRORS as error:
            return one_line(error)
        return ""


class OpSessions:
    """Makes sessions when they are first needed, and keeps them."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, ort.InferenceSession] = {}

    @property
    def count(self) -> int:
        """Sessions made so far."""
        return len(self._sessions)

    def session_of(self, proto: onnx.ModelProto) -> OpSession:
        """The session of an op.

        Args:
            proto: the op as a model of its own; it is renamed in place.

        Raises:
            InputError: onnxruntime refuses it.
        """
        inputs, outputs = _rename(proto.graph)
        for text in ("producer_name", "producer_version", "doc_string"):
            proto.ClearField(text)
        del proto.metadata_props[:]
        key = proto.SerializeToString(deterministic=True)
        session = self._sessions.get(key)
        if session is None:
            session = make_session(key, EXACT, prepack=False)
            self._sessions[key] = session
        return OpSession(session, inputs, outputs)


def _bind(
    bind: Callable[[str, str, int, int, list[int], int], None], name: str, value: Binding
) -> None:
    bind(name, "cpu", 0, int(value.type.element), list(value.type.shape), value.address)


def _rename(graph: onnx.GraphProto) -> tuple[dict[str, str], dict[str, str]]:
    """Rename all values in order of appearance; the new names of inputs and outputs."""
    names: dict[str, str] = {"": ""}
    for value in graph.input:
        names.setdefault(value.name, f"v{len(names)}")
    for node in graph.node:
        for name in (*node.input, *node.output):
            names.setdefault(name, f"v{len(names)}")
    initializers = {tensor.name for tensor in graph.initializer}
    inputs = {v.name: names[v.name] for v in graph.input if v.name not in initializers}
    outputs = {value.name: names[value.name] for value in graph.output}
    for index, node in enumerate(graph.node):
        node.name = f"n{index}"
        node.ClearField("doc_string")
        del node.metadata_props[:]
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for tensor in graph.initializer:
        tensor.name = names.setdefault(tensor.name, f"v{len(names)}")
        tensor.ClearField("doc_string")
    for value in (*graph.input, *graph.output):
        value.name = names[value.name]
        value.ClearField("doc_string")
        del value.metadata_props[:]
    # Inner types follow from the nodes, and names in metadata would keep equal ops apart.
    del graph.value_info[:]
    del graph.metadata_props[:]
    graph.name = "op"
    graph.ClearField("doc_string")
    return inputs, outputs
