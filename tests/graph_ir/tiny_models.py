"""Every tiny model that must import, by name, and the dimensions that make each static."""

from collections.abc import Callable

import onnx

from tests.graph_ir.tiny_clutter import CLUTTER_MODELS
from tests.graph_ir.tiny_sequence import SEQUENCE_MODELS
from tests.graph_ir.tiny_vision import VISION_MODELS

TINY_MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    **VISION_MODELS,
    **SEQUENCE_MODELS,
    **CLUTTER_MODELS,
}

# Models not named here have static shapes already.
TINY_DIMS: dict[str, dict[str, int]] = {
    "shape_clutter": {"batch": 2, "length": 5},
    "dynamic_pad": {"N": 1},
    "constant_if": {"width": 4},
}
