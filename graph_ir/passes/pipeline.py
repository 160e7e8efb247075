"""The passes that every model goes through, in order."""

from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.naming import name_everything
from graph_ir.passes.base import Pass
from graph_ir.passes.batch_norm_into_convolution import BatchNormIntoConvolution
from graph_ir.passes.common_subexpression import CommonSubexpression
from graph_ir.passes.constant_folding import ConstantFolding
from graph_ir.passes.dead_code import DeadCode
from graph_ir.passes.identity_elimination import IdentityElimination
from graph_ir.passes.transpose_cancellation import TransposeCancellation

LOSSLESS: tuple[Pass, ...] = (
    ConstantFolding(),
    IdentityElimination(),
    TransposeCancellation(),
    BatchNormIntoConvolution(),
    CommonSubexpression(),
    DeadCode(),
)

# One pass makes work for another; every change removes something, so few rounds are enough.
_MAXIMUM_ROUNDS = 16


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass did to a model.

    Attributes:
        name: of the pass.
        round: 1 for its first application.
        changes: how many rewrites.
        details: what changed.
        nodes: of the graph afterwards.
    """

    name: str
    round: int
    changes: int
    details: str
    nodes: int


def run_lossless(model: ir.Model) -> tuple[PassReport, ...]:
    """Applies the lossless passes in turn until none finds anything to do.

    Args:
        model: as `load_model` returns it; changed in place.

    Returns:
        A report for every pass of every round.
    """
    reports: list[PassReport] = []
    for number in range(1, _MAXIMUM_ROUNDS + 1):
        changes = 0
        for step in LOSSLESS:
            result = step.apply(model)
            changes += result.changes
            reports.append(
                PassReport(step.name, number, result.changes, result.details, len(model.graph))
            )
        if not changes:
            break
    name_everything(model.graph)
    return tuple(reports)
