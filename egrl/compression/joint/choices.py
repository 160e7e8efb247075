"""The precisions that a model's products may have, and the workload of each choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from egrl.compression.joint.costs import ChoiceCosts
from graph_ir.compression.emit import emit, needed_opset
from graph_ir.compression.execution_options import right_grid
from graph_ir.compression.fusable import make_fusable
from graph_ir.compression.grid import Grid, QuantizedWeight
from graph_ir.compression.sites import Site, find_sites
from graph_ir.lower import lower
from graph_ir.mixed_workload import WorkloadChoices
from graph_ir.onnx_values import node_name
from graph_ir.opset import raise_opset
from graph_ir.workload import TensorKind, Workload

KEEP = 0
"""The precision that leaves a product as it is."""


@dataclass(frozen=True, slots=True)
class Precisions:
    """What a model's products may be stored in, and what is lowered of each.

    A product here is what has one precision: matrix products that share a weight, or an op.

    Attributes:
        grids: of precisions 1 and on; precision 0 keeps the weight.
        sites: names of the sites of each product, in the order of the graph.
        ops: indices of the ops that execute each product.
        choices: workloads, one for each precision.
    """

    grids: tuple[Grid, ...]
    sites: tuple[tuple[str, ...], ...]
    ops: tuple[tuple[int, ...], ...]
    choices: WorkloadChoices

    @property
    def count(self) -> int:
        """How many precisions there are, keeping included."""
        return 1 + len(self.grids)

    def uniform(self, precision: int) -> tuple[int, ...]:
        """All products in one precision."""
        return (precision,) * len(self.ops)

    def workload(self, choice_S: Sequence[int]) -> Workload:
        """The workload in which product s has precision `choice_S[s]`."""
        choice_N = [KEEP] * len(self.choices.op_names)
        for ops, choice in zip(self.ops, choice_S, strict=True):
            for op in ops:
                choice_N[op] = choice
        return self.choices.mixed(choice_N)

    def grids_of(self, choice_S: Sequence[int]) -> dict[str, Grid]:
        """Grids of the matrix products that are not kept, by name."""
        return {
            name: self.grids[choice - 1]
            for names, choice in zip(self.sites, choice_S, strict=True)
            if choice != KEEP
            for name in names
        }

    def costs(self, error_squared: Mapping[tuple[str, Grid], float]) -> ChoiceCosts:
        """Costs of all choices.

        Args:
            error_squared: of the outputs, by site and grid.
        """
        error_SP = np.zeros((len(self.ops), self.count))
        bytes_SP = np.zeros((len(self.ops), self.count), np.int64)
        for s, names in enumerate(self.sites):
            for p in range(self.count):
                workload = self.choices.workloads[p]
                bytes_SP[s, p] = _weight_bytes(workload, self.ops[s])
                if p != KEEP:
                    error_SP[s, p] = sum(error_squared[name, self.grids[p - 1]] for name in names)
        # What no choice touches is among the bytes of an op in every precision.
        keeping = self.choices.workloads[KEEP]
        other = keeping.weight_bytes - int(bytes_SP[:, KEEP].sum())
        return ChoiceCosts(self.ops, error_SP, bytes_SP, other)


def lower_precisions(
    model: ir.Model,
    grids: Sequence[Grid],
    execution_type: str,
    streamed: frozenset[str],
    where: str,
) -> Precisions:
    """Lower a model once for each precision, all its products in it.

    The integers are zeros: where they are placed depends on how many there are, not on their
    values.

    Args:
        model: simplified; it is not changed.
        grids: the precisions that are not `KEEP`.
        execution_type: of the lowering.
        streamed: views that the accelerator streams.
        where: the model's path, for messages.
    """
    workloads = []
    nodes: dict[str, tuple[str, ...]] = {}
    opset = max((needed_opset(grid.bits) for grid in grids), default=0)
    for grid in (None, *grids):
        form = model.clone()
        raise_opset(form, opset, where)
        sites = sites_of(form)
        nodes = {site.name: nodes_of(site) for site in sites}
        if grid is not None:
            for site in sites:
                emit(site, _zeros(site, right_grid(grid, site.columns)))
            make_fusable(form.graph)
        workloads.append(lower(form, "main", execution_type, streamed).workload)
    groups = _products(workloads[0], nodes)
    return Precisions(
        tuple(grids),
        tuple(tuple(names) for names, _ in groups),
        tuple(tuple(ops) for _, ops in groups),
        WorkloadChoices(tuple(workloads)),
    )


def sites_of(model: ir.Model) -> tuple[Site, ...]:
    """The sites whose precision is chosen, in the order of the graph.

    A tied embedding stays as it is and its product gets integers of its own: looking up rows costs
    no time worth choosing for, and ops would come and go with the precision.
    """
    return tuple(replace(site, tables=()) for site in find_sites(model.graph).found)


def nodes_of(site: Site) -> tuple[str, ...]:
    """Names of all nodes that a site's precision changes."""
    return tuple(node_name(node) for node in (site.node, *site.shared))


def _products(
    workload: Workload, nodes: Mapping[str, tuple[str, ...]]
) -> list[tuple[list[str], list[int]]]:
    """Sites and ops of each product: sites that share an op, and ops that share a site."""
    op_of = {node: at for at, op in enumerate(workload.ops) for node in op.nodes}
    groups: list[tuple[list[str], list[int]]] = []
    for name, names in nodes.items():
        # What no output needs is not lowered.
        ops = list(dict.fromkeys(op_of[node] for node in names if node in op_of))
        if not ops:
            continue
        joined = [group for group in groups if set(group[1]) & set(ops)]
        for group in joined:
            groups.remove(group)
        sites = [site for group in joined for site in group[0]]
        all_ops = [op for group in joined for op in group[1]]
        groups.append(([*sites, name], list(dict.fromkeys([*all_ops, *ops]))))
    return groups


def _zeros(site: Site, grid: Grid) -> QuantizedWeight:
    groups = (grid.groups(site.inner), site.columns)
    levels_KN: NDArray[np.int8] | NDArray[np.uint8]
    if grid.symmetric:
        levels_KN = np.zeros((site.inner, site.columns), np.int8)
        return QuantizedWeight(grid, levels_KN, np.ones(groups, np.float16))
    levels_KN = np.zeros((site.inner, site.columns), np.uint8)
    zero_GN = np.zeros(groups, np.uint8)
    return QuantizedWeight(grid, levels_KN, np.ones(groups, np.float16), zero_GN)


def _weight_bytes(workload: Workload, ops: Sequence[int]) -> int:
    """Of the weights that only these ops read."""
    inside, outside = dict[int, None](), set[int]()
    for at, op in enumerate(workload.ops):
        for operand in op.operands:
            if at in ops:
                inside[operand.tensor] = None
            else:
                outside.add(operand.tensor)
    return sum(
        workload.tensors[t].size_bytes
        for t in inside
        if t not in outside and workload.tensors[t].kind is TensorKind.WEIGHT
    )
