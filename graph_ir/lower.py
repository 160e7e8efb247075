"""Lowering: from a fused ONNX graph to a `Workload`.

Ops keep the model's own order (a stable topological sort). Weights live for the whole
inference, inputs up to their last reader, outputs from their writer to the end, activations
from their writer to their last reader; a value behind a view lives as long as the view is read.
"""

from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.datatypes import BITS
from graph_ir.errors import InputError
from graph_ir.fusion.fuse import fuse
from graph_ir.fusion.groups import Group
from graph_ir.fusion.views import STREAMED_BY_DEFAULT
from graph_ir.lowered_op import lower_op
from graph_ir.model import Model
from graph_ir.onnx_values import value_name
from graph_ir.states import state_pairs
from graph_ir.tensor_table import TensorTable
from graph_ir.workload import Workload


@dataclass(frozen=True, slots=True)
class LoweredGroup:
    """How an op is cut out of the model again.

    Attributes:
        op_name: of the op.
        node_names: its ONNX nodes, views included, in topological order.
        input_values: the values that own the memory it reads, in order of first use.
        output_values: the values that it writes.
        immediates: constants that are part of its command and have no memory.
    """

    op_name: str
    node_names: tuple[str, ...]
    input_values: tuple[str, ...]
    output_values: tuple[str, ...]
    immediates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lowered:
    """A workload, and per op what executes it.

    Attributes:
        workload: ops and tensors.
        groups: one per op, in the same order.
    """

    workload: Workload
    groups: tuple[LoweredGroup, ...]


def lower(
    model: Model | ir.Model,
    name: str = "main",
    execution_type: str = "fp16",
    streamed: frozenset[str] = STREAMED_BY_DEFAULT,
    context: int | None = None,
) -> Lowered:
    """Fuses a model and counts what its ops compute and move.

    Args:
        model: with static shapes; it is not changed.
        name: of the workload.
        execution_type: what floats are stored and computed in, a key of `BITS`.
        streamed: which of Transpose, Slice, Split and Expand the accelerator streams.
        context: positions that the caches of a decoder hold when the inference begins: what is
            read of them and the work on it; as many as they have room for where None.

    Raises:
        InputError: for an unknown type, a negative context, an op without a rule, a shape that is
            not static, states that are wrong or read after they were overwritten.
    """
    if execution_type not in BITS:
        known = ", ".join(BITS)
        raise InputError(f"execution type: expected one of {known}, got {execution_type!r}")
    if context is not None and context < 0:
        raise InputError(f"context: expected 0 or more filled positions, got {context}")
    graph_model = model.graph_model if isinstance(model, Model) else model
    groups = fuse(graph_model, streamed).groups
    table = TensorTable(execution_type, len(groups), state_pairs(graph_model), context)
    ops = tuple(lower_op(table, at, group) for at, group in enumerate(groups))
    workload = Workload(name, execution_type, ops, table.tensors())
    return Lowered(workload, tuple(_lowered_group(group) for group in groups))


def _lowered_group(group: Group) -> LoweredGroup:
    return LoweredGroup(
        op_name=group.name,
        node_names=tuple(node.name or "" for node in group.nodes),
        input_values=tuple(dict.fromkeys(value_name(r.owner) for r in group.readings)),
        output_values=tuple(value_name(value) for value in group.outputs),
        immediates=group.immediates,
    )
