"""Epilogues: what follows an op element by element becomes part of it.

Bias and residual adds, activations in one node or many (x * sigmoid(x), the erf and tanh forms
of GELU, hard-swish), products with constants and quantization of the result. The intermediate
values must have no other reader. Later ops are served first: of the two products that meet in an
add, the one that runs last takes it, and so its other operand exists by then.
"""

import onnx_ir as ir

from graph_ir.fusion.graph_index import GraphIndex, Seed
from graph_ir.fusion.region import Allowed, cone, grow
from graph_ir.fusion.views import RESHAPING
from graph_ir.onnx_values import element_count, op_key
from graph_ir.op_rules.families import ELEMENTWISE_OPS, FAMILIES
from graph_ir.workload import OpFamily

PRODUCTS: frozenset[OpFamily] = frozenset({OpFamily.CONV, OpFamily.MATMUL, OpFamily.ATTENTION})
OTHERS: frozenset[OpFamily] = frozenset(
    {
        OpFamily.NORMALIZATION,
        OpFamily.SOFTMAX,
        OpFamily.POOLING,
        OpFamily.REDUCTION,
        OpFamily.RESIZE,
        OpFamily.GATHER,
    }
)
_QUANTIZE = frozenset({"QuantizeLinear", "com.microsoft::QuantizeLinear"})
# A result that is rounded on the way to the residual add or activation behind it: an array with
# integer arithmetic applies both before it writes.
_ROUNDED = frozenset({"DequantizeLinear", "com.microsoft::DequantizeLinear"})


def is_elementwise(node: ir.Node) -> bool:
    """True for arithmetic that may be fused onto an op, and for the views between."""
    key = op_key(node)
    return key in ELEMENTWISE_OPS or key in (_QUANTIZE | _ROUNDED) or key in RESHAPING


def fuse_product_epilogues(index: GraphIndex) -> None:
    """Fuses epilogues onto convolutions, matrix products and attention."""
    _fuse(index, PRODUCTS, is_elementwise)


def fuse_other_epilogues(index: GraphIndex) -> None:
    """Fuses what is left onto normalizations, poolings, reductions, resizes and gathers.

    An op that only moves elements takes no arithmetic but the quantization of its result.
    """
    _fuse(index, OTHERS, is_elementwise)
    _fuse(index, frozenset({OpFamily.MOVEMENT}), _is_quantization)


def _is_quantization(node: ir.Node) -> bool:
    key = op_key(node)
    return key in _QUANTIZE or key in RESHAPING


def _fuse(index: GraphIndex, families: frozenset[OpFamily], allowed: Allowed) -> None:
    for node in reversed(index.nodes):
        seed = index.seed_of(node)
        if seed is None:
            if index.is_view(node) or FAMILIES.get(op_key(node)) not in families:
                continue
            seed = index.claim(FAMILIES[op_key(node)], node, [node], index.only_output(node))
        elif seed.family not in families or not _ends_with(seed, node):
            continue
        if seed.output is None:
            continue
        region = grow(index, seed.output, allowed, element_count(seed.output))
        if region is None:
            continue
        scalars = cone(index, list(region.members), _is_scalar)
        index.extend(seed, scalars, region.end)


def _ends_with(seed: Seed, node: ir.Node) -> bool:
    return seed.output is not None and seed.output.producer() is node


def _is_scalar(node: ir.Node) -> bool:
    return op_key(node) in ELEMENTWISE_OPS and element_count(node.outputs[0]) == 1
