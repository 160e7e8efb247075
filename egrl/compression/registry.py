"""Every part of a compression by its name on the command line, made only when asked for.

The first line of a function's docstring is what `egrl passes` prints.
"""

from collections.abc import Callable

from graph_ir.compression.method import Correction, ModelMethod, Preparation, WeightMethod


def _rtn() -> WeightMethod:
    """Round to nearest; no data."""
    from graph_ir.compression.methods.rtn import Rtn

    return Rtn()


def _easyquant() -> WeightMethod:
    """Ranges where the gradient of the weight's error vanishes, never worse than rtn; no data."""
    from graph_ir.compression.methods.easyquant import EasyQuant

    return EasyQuant()


def _gptq() -> WeightMethod:
    """Rounding with error feedback through the Hessian of the layer's output; calibrated."""
    from graph_ir.compression.methods.gptq import Gptq

    return Gptq()


def _signround() -> ModelMethod:
    """Rounding and ranges learned by signed gradients, block by block; calibration data."""
    from egrl.compression.methods.signround import SignRound

    return SignRound()


def _mkq() -> ModelMethod:
    """Quantization-aware training of an encoder, distilled from itself; calibration data."""
    from egrl.compression.methods.mkq import Mkq

    return Mkq()


def _rotate() -> Preparation:
    """Rotation of the residual stream by a seeded orthogonal matrix, folded into the weights."""
    from graph_ir.compression.rotate import Rotate

    return Rotate()


def _awq() -> Preparation:
    """Activation-aware scaling: input channels with large values get finer steps."""
    from graph_ir.compression.awq import Awq

    return Awq()


def _lorc() -> Correction:
    """Low-rank correction: what rounding took from a weight, as two thin factors beside it."""
    from graph_ir.compression.lorc import Lorc

    return Lorc()


def _norm_tweak() -> Correction:
    """Norm tweaking: scales and biases of norms solved for, to make up for rounding."""
    from graph_ir.compression.norm_tweak import NormTweak

    return NormTweak()


WEIGHT_METHODS: dict[str, Callable[[], WeightMethod]] = {
    "rtn": _rtn,
    "easyquant": _easyquant,
    "gptq": _gptq,
}

MODEL_METHODS: dict[str, Callable[[], ModelMethod]] = {
    "signround": _signround,
    "mkq": _mkq,
}

PREPARATIONS: dict[str, Callable[[], Preparation]] = {
    "rotate": _rotate,
    "awq": _awq,
}

CORRECTIONS: dict[str, Callable[[], Correction]] = {
    "norm-tweak": _norm_tweak,
    "lorc": _lorc,
}

DEFAULT_METHOD = "easyquant"
