"""Every operator that has a function in torch, by its name."""

from egrl.differentiable.operator import Function
from egrl.differentiable.ops.attention import ATTENTION
from egrl.differentiable.ops.elementwise import ELEMENTWISE
from egrl.differentiable.ops.index import INDEX
from egrl.differentiable.ops.matrix import MATRIX
from egrl.differentiable.ops.normalization import NORMALIZATION
from egrl.differentiable.ops.pooling import POOLING
from egrl.differentiable.ops.quantized import QUANTIZED
from egrl.differentiable.ops.reduction import REDUCTION
from egrl.differentiable.ops.shape import SHAPE

FUNCTIONS: dict[str, Function] = {
    **ATTENTION,
    **ELEMENTWISE,
    **INDEX,
    **MATRIX,
    **NORMALIZATION,
    **POOLING,
    **QUANTIZED,
    **REDUCTION,
    **SHAPE,
}
