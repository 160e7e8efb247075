"""Every method of weight quantization by its name on the command line."""

from collections.abc import Callable

from graph_ir.compression.method import WeightMethod
from graph_ir.compression.methods.rtn import Rtn

WEIGHT_METHODS: dict[str, Callable[[], WeightMethod]] = {
    "rtn": Rtn,
}

DEFAULT_METHOD = "rtn"
