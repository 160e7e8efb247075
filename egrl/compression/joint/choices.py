"""The precisions that a model's products may have, and the workload of each choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from egrl.compression.joint.byte_convolutions import convolutions_of
from egrl.compression.joint.byte_forms import OPSET, ByteForm, Ranges, nodes_of, sites_of
from egrl.compression.joint.costs import ChoiceCosts
from egrl.compression.joint.head_view import KEPT, Trait
from egrl.compression.joint.lowering import MixtureLowering, priced_alike
from graph_ir.compression.emit import needed_opset
from graph_ir.compression.grid import Grid
from graph_ir.mixed_workload import WorkloadChoices
from graph_ir.opset import raise_opset
from graph_ir.workload import TensorKind, Workload

KEEP = 0
"""The precision that leaves a product as it is."""

NO_BYTES: Mapping[tuple[str, ByteForm], float] = {}


@dataclass(frozen=True, slots=True)
class Precisions:
    """What a model's products may be stored in, and what is lowered of each.

    A product here is what has one precision: matrix products that share a weight, or an op.

    Attributes:
        grids: of precisions 1 and on, whose activations are floats; precision 0 keeps the weight.
        byte_forms: of the precisions after those, whose activations are bytes.
        sites: names of the sites of each product, in the order of the graph.
        ops: indices of the ops that execute each product.
        choices: workloads, one for each precision; those of `byte_forms` are to price single
            products by, see `priced_alike`.
        lowering: of any mixture.
        alias_SP: for every product and precision the one that it stands for: convolutions have no
            form with float activations, where they are kept, and one form of each width.
    """

    grids: tuple[Grid, ...]
    byte_forms: tuple[ByteForm, ...]
    sites: tuple[tuple[str, ...], ...]
    ops: tuple[tuple[int, ...], ...]
    choices: WorkloadChoices
    lowering: MixtureLowering
    alias_SP: tuple[tuple[int, ...], ...]

    @property
    def count(self) -> int:
        """How many precisions there are, keeping included."""
        return len(self.names)

    @property
    def traits(self) -> tuple[Trait, ...]:
        """What the precisions are to the agent's head."""
        plain = [Trait(grid.bits, False) for grid in self.grids]
        return (KEPT, *plain, *(Trait(form.bits, True) for form in self.byte_forms))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the precisions: bits and group of the weight, `a8` where activations are bytes."""
        plain = [f"{grid.bits}x{grid.group}" for grid in self.grids]
        return ("kept", *plain, *(form.name for form in self.byte_forms))

    def uniform(self, precision: int) -> tuple[int, ...]:
        """All products in one precision, as far as they have it."""
        return tuple(alias_P[precision] for alias_P in self.alias_SP)

    def workload(self, choice_S: Sequence[int]) -> Workload:
        """The workload in which product s has precision `choice_S[s]`."""
        if self.reads_bytes(choice_S):
            return self.lowering.workload(self.grids_of(choice_S), self.byte_forms_of(choice_S))
        return self._mixed(choice_S)

    def price_workload(self, precision: int) -> Workload:
        """The workload to price products in one precision by; its ops are those of all others."""
        return self._mixed(self.uniform(precision))

    def reads_bytes(self, choice_S: Sequence[int]) -> bool:
        """Whether any product's activations are bytes."""
        return any(choice > len(self.grids) for choice in choice_S)

    def grids_of(self, choice_S: Sequence[int]) -> dict[str, Grid]:
        """Grids of the matrix products whose weights are integers in blocks, by name."""
        found = {}
        for name, choice in self._chosen(choice_S):
            if choice <= len(self.grids):
                found[name] = self.grids[choice - 1]
            elif (grid := self._byte_form(choice).grid) is not None:
                found[name] = grid
        return found

    def byte_forms_of(self, choice_S: Sequence[int]) -> dict[str, ByteForm]:
        """Forms of the matrix products whose activations are bytes, by name."""
        return {
            name: self._byte_form(choice)
            for name, choice in self._chosen(choice_S)
            if choice > len(self.grids)
        }

    def costs(
        self,
        error_squared: Mapping[tuple[str, Grid], float],
        bytes_error_squared: Mapping[tuple[str, ByteForm], float] = NO_BYTES,
    ) -> ChoiceCosts:
        """Costs of all choices.

        Args:
            error_squared: of the outputs, by site and grid.
            bytes_error_squared: likewise by site and form.
        """
        error_SP = np.zeros((len(self.ops), self.count))
        bytes_SP = np.zeros((len(self.ops), self.count), np.int64)
        for s, names in enumerate(self.sites):
            for at in range(self.count):
                p = self.alias_SP[s][at]
                workload = self.choices.workloads[p]
                bytes_SP[s, at] = _weight_bytes(workload, self.ops[s])
                if p > len(self.grids):
                    form = self._byte_form(p)
                    error_SP[s, at] = sum(bytes_error_squared[name, form] for name in names)
                elif p != KEEP:
                    error_SP[s, at] = sum(error_squared[name, self.grids[p - 1]] for name in names)
        # What no choice touches is among the bytes of an op in every precision.
        keeping = self.choices.workloads[KEEP]
        other = keeping.weight_bytes - int(bytes_SP[:, KEEP].sum())
        return ChoiceCosts(self.ops, error_SP, bytes_SP, other, np.array(self.alias_SP, np.int64))

    def _mixed(self, choice_S: Sequence[int]) -> Workload:
        choice_N = [KEEP] * len(self.choices.op_names)
        for ops, choice in zip(self.ops, choice_S, strict=True):
            for op in ops:
                choice_N[op] = choice
        return self.choices.mixed(choice_N)

    def _chosen(self, choice_S: Sequence[int]) -> list[tuple[str, int]]:
        """Sites that are not kept, with their precisions."""
        return [
            (name, choice)
            for names, choice in zip(self.sites, choice_S, strict=True)
            if choice != KEEP
            for name in names
        ]

    def _byte_form(self, precision: int) -> ByteForm:
        return self.byte_forms[precision - 1 - len(self.grids)]


def lower_precisions(
    model: ir.Model,
    grids: Sequence[Grid],
    execution_type: str,
    streamed: frozenset[str],
    where: str,
    byte_forms: Sequence[ByteForm] = (),
    ranges: Ranges | None = None,
) -> Precisions:
    """Lower a model once for each precision, all its products in it.

    Args:
        model: simplified; it is not changed.
        grids: the precisions that are not `KEEP`, with activations of floats.
        execution_type: of the lowering.
        streamed: views that the accelerator streams.
        where: the model's path, for messages.
        byte_forms: precisions with activations of bytes; convolutions are products then.
        ranges: of the activations, by name of the tensor; needed where convolutions are clamped.
    """
    opset = max((needed_opset(grid.bits) for grid in grids), default=0)
    opset = max(opset, OPSET) if byte_forms else opset
    raised = model.clone()
    raise_opset(raised, opset, where)
    nodes = {site.name: nodes_of(site) for site in sites_of(raised)}
    if byte_forms:
        nodes |= {site.name: (site.name,) for site in convolutions_of(raised)}
    lowering = MixtureLowering(raised, nodes, execution_type, streamed, ranges)
    workloads = [lowering.workload({}, {})]
    workloads += [lowering.workload(dict.fromkeys(nodes, grid), {}) for grid in grids]
    groups = _products(workloads[0], nodes)
    products = {
        op: [
            node for name in names for node in nodes[name] if node in workloads[KEEP].ops[op].nodes
        ]
        for names, ops in groups
        for op in ops
    }
    for form in byte_forms:
        blocked = {} if form.grid is None else dict.fromkeys(nodes, form.grid)
        whole = lowering.workload(blocked, dict.fromkeys(nodes, form))
        workloads.append(priced_alike(workloads[KEEP], whole, products))
    convolutions = {site.name for site in convolutions_of(raised)}
    as_product, as_convolution = _aliases(grids, byte_forms)
    return Precisions(
        tuple(grids),
        tuple(byte_forms),
        tuple(tuple(names) for names, _ in groups),
        tuple(tuple(ops) for _, ops in groups),
        WorkloadChoices(tuple(workloads)),
        lowering,
        tuple(as_convolution if convolutions & set(names) else as_product for names, _ in groups),
    )


def _aliases(
    grids: Sequence[Grid], byte_forms: Sequence[ByteForm]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What each precision stands for: of a product, and of a convolution."""
    count = 1 + len(grids) + len(byte_forms)
    widths: dict[int, int] = {}
    for p, form in enumerate(byte_forms, 1 + len(grids)):
        widths.setdefault(form.bits, p)
    forms = [widths[form.bits] for form in byte_forms]
    return tuple(range(count)), (KEEP, *([KEEP] * len(grids)), *forms)


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
