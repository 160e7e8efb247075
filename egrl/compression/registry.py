"""Every part of a compression by its name on the command line, made only when asked for.

The first line of a function's docstring is what `egrl passes` prints.
"""

from collections.abc import Callable

from graph_ir.compression.method import Correction, ModelMethod, Preparation, WeightMethod


def _rtn() -> WeightMethod:
    """Round to nearest; no data."""
    from graph_ir.compression.methods.rtn import Rtn

    return Rtn()


def _rotate() -> Preparation:
    """Rotation of the residual stream by a seeded orthogonal matrix, folded into the weights."""
    from graph_ir.compression.rotate import Rotate

    return Rotate()


WEIGHT_METHODS: dict[str, Callable[[], WeightMethod]] = {
    "rtn": _rtn,
}

MODEL_METHODS: dict[str, Callable[[], ModelMethod]] = {}

PREPARATIONS: dict[str, Callable[[], Preparation]] = {
    "rotate": _rotate,
}

CORRECTIONS: dict[str, Callable[[], Correction]] = {}

DEFAULT_METHOD = "rtn"
