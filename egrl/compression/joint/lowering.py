"""Workloads of models whose products have precisions, without the integers.

The integers are zeros: where they are placed depends on how many there are, not on their values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from egrl.compression.joint.byte_forms import (
    ByteForm,
    Ranges,
    emit_byte_zeros,
    product_name,
    sites_of,
)
from graph_ir.compression.emit import emit
from graph_ir.compression.execution_options import right_grid
from graph_ir.compression.fusable import make_fusable
from graph_ir.compression.grid import Grid, QuantizedWeight
from graph_ir.compression.sites import Site
from graph_ir.lower import lower
from graph_ir.mixed_workload import WorkloadChoices
from graph_ir.passes.rewiring import Names
from graph_ir.workload import Op, Operand, OpFamily, Role, Tensor, TensorKind, Workload

QUANTIZE_OPS = 2
"""Elementary operations that round an element to a byte."""


@dataclass(frozen=True, slots=True)
class MixtureLowering:
    """Lowers a model in any mixture of precisions.

    Attributes:
        model: of the opset that all precisions need; it is not changed.
        nodes: names of the nodes of every site.
        execution_type: of the lowering.
        streamed: views that the accelerator streams.
        ranges: of the activations, which decide what clamps are left; None where no clamp
            depends on them.
    """

    model: ir.Model
    nodes: Mapping[str, tuple[str, ...]]
    execution_type: str
    streamed: frozenset[str]
    ranges: Ranges | None = None

    def workload(self, grids: Mapping[str, Grid], forms: Mapping[str, ByteForm]) -> Workload:
        """The workload of a mixture.

        Args:
            grids: of weights that are integers in blocks, by name of the site.
            forms: of products whose activations are bytes, likewise.
        """
        form = self.model.clone()
        names = Names(form.graph)
        for site in sites_of(form):
            if site.name in grids:
                emit(site, _zeros(site, right_grid(grids[site.name], site.columns)), names)
        if forms:
            emit_byte_zeros(form, forms, self.nodes, self.ranges)
        if grids or forms:
            make_fusable(form.graph)
        return lower(form, "main", self.execution_type, self.streamed).workload


def priced_alike(
    base: Workload, lowered: Workload, products: Mapping[int, Sequence[str]]
) -> Workload:
    """A workload with the ops of another, its products as they are in a precision.

    With activations of bytes there are ops that round, or ops round what they write, depending on
    what the other products that read a tensor do. To compare the precisions of one product, its
    rounding is counted as its own here: the product reads what it read before and rounds it. A
    convolution counts as it is among others of bytes, which is where it pays: it reads and writes
    bytes and rounds what it writes. What a mixture takes on the engine is that of its own lowering.

    Args:
        base: whose ops they are.
        lowered: with activations of bytes.
        products: by index of the op of the base, the nodes in it whose precision is chosen.
    """
    tensors = list(base.tensors)
    ops = []
    for at, op in enumerate(base.ops):
        nodes = products.get(at)
        ops.append(op if nodes is None else _alike(base, op, nodes, lowered, tensors))
    whole = replace(base, ops=tuple(ops), tensors=tuple(tensors))
    # Leaves out the tensors that no op has any more.
    return WorkloadChoices((whole,)).mixed([0] * len(ops))


def _alike(
    base: Workload, op: Op, nodes: Sequence[str], lowered: Workload, tensors: list[Tensor]
) -> Op:
    """One product of the base in the precision of another lowering; adds its weights."""
    names = {name for node in nodes for name in (node, product_name(node))}
    known = {base.tensors[operand.tensor].name for operand in op.operands}
    found = [each for each in lowered.ops if each.mac_work and names & set(each.nodes)]
    weights: dict[str, Operand] = {}
    rounded: dict[str, int] = {}
    for each in found:
        for operand in each.operands:
            tensor = lowered.tensors[operand.tensor]
            if tensor.kind is TensorKind.WEIGHT:
                if tensor.name not in weights:
                    tensors.append(replace(tensor, start=0, end=len(base.ops)))
                    weights[tensor.name] = replace(operand, tensor=len(tensors) - 1)
            elif (
                operand.role is not Role.OUTPUT
                and tensor.data_type in ("int8", "uint8")
                and tensor.name not in known
            ):
                rounded[tensor.name] = tensor.size_bytes
    weight_at = [
        at
        for at, operand in enumerate(op.operands)
        if base.tensors[operand.tensor].kind is TensorKind.WEIGHT
    ]
    vector_ops = op.vector_ops + QUANTIZE_OPS * sum(rounded.values())
    operands = op.operands
    if op.family is OpFamily.CONV:
        vector_ops = sum(each.vector_ops for each in found)
        operands = tuple(_narrower(operand, found) for operand in op.operands)
    kept = [operand for at, operand in enumerate(operands) if at not in weight_at]
    kept[weight_at[0] : weight_at[0]] = weights.values()
    return replace(
        op,
        operands=tuple(kept),
        mac_work=tuple(work for each in found for work in each.mac_work),
        vector_ops=vector_ops,
        execution_type=found[0].execution_type,
        dequantize_ops=sum(each.dequantize_ops for each in found),
    )


def _narrower(operand: Operand, found: Sequence[Op]) -> Operand:
    """What is read or written, with the traffic that it has where it is bytes."""
    if operand.role not in (Role.LEFT, Role.OUTPUT):
        return operand
    traffic = [o.traffic_bytes for op in found for o in op.operands if o.role is operand.role]
    return replace(operand, traffic_bytes=min([operand.traffic_bytes, *traffic]))


def _zeros(site: Site, grid: Grid) -> QuantizedWeight:
    groups = (grid.groups(site.inner), site.columns)
    levels_KN: NDArray[np.int8] | NDArray[np.uint8]
    if grid.symmetric:
        levels_KN = np.zeros((site.inner, site.columns), np.int8)
        return QuantizedWeight(grid, levels_KN, np.ones(groups, np.float16))
    levels_KN = np.zeros((site.inner, site.columns), np.uint8)
    zero_GN = np.zeros(groups, np.uint8)
    return QuantizedWeight(grid, levels_KN, np.ones(groups, np.float16), zero_GN)
