"""A loaded model: the ONNX graph as `onnx_ir` holds it, and where it came from."""

from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class Model:
    """An ONNX model with static shapes.

    The graph itself is mutable and belongs to whoever holds the `Model`; passes change it in
    place. Every node has a unique, non-empty name, and every value a static shape and a type.

    Attributes:
        graph_model: the ONNX model.
        source_path: the file that it was read from.
        source_sha256: hex digest over that file and its external data files.
    """

    graph_model: ir.Model
    source_path: str
    source_sha256: str
