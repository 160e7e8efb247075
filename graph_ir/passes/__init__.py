"""Passes over a model: each a small class in a file of its own, named in one dict."""

from graph_ir.passes.base import Pass, PassResult
from graph_ir.passes.batch_norm_into_convolution import BatchNormIntoConvolution
from graph_ir.passes.common_subexpression import CommonSubexpression
from graph_ir.passes.constant_folding import ConstantFolding
from graph_ir.passes.dead_code import DeadCode
from graph_ir.passes.identity_elimination import IdentityElimination
from graph_ir.passes.transpose_cancellation import TransposeCancellation

PASSES: dict[str, type[Pass]] = {
    "constant-folding": ConstantFolding,
    "identity-elimination": IdentityElimination,
    "transpose-cancellation": TransposeCancellation,
    "batch-norm-into-convolution": BatchNormIntoConvolution,
    "common-subexpression": CommonSubexpression,
    "dead-code": DeadCode,
}

__all__ = ["PASSES", "Pass", "PassResult"]
