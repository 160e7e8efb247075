"""Transposes around elementwise regions cancel: a channels-last export becomes channels-first.

Transpose(x, p) -> Relu, Add, Concat, ... -> Transpose(y, p^-1) -> z becomes x -> Relu, Add,
Concat, ... -> z, where all that enters the region is permuted in the same way.
"""

from dataclasses import dataclass, field

import onnx_ir as ir

from graph_ir.naming import name_everything
from graph_ir.passes.base import Pass, PassResult
from graph_ir.passes.permutations import (
    Permutation,
    absorbs,
    carries,
    composed,
    inverse,
    order_of,
    remap,
)
from graph_ir.passes.rewiring import bypass, constant_array, graph_of, shape_of, unused_name


@dataclass(slots=True)
class _Region:
    """Transposes of one permutation and the nodes that carry it on, connected by values."""

    order: Permutation
    transposes: list[ir.Node] = field(default_factory=list)
    carriers: list[ir.Node] = field(default_factory=list)

    def values(self) -> list[ir.Value]:
        """The permuted values, in topological order of each kind."""
        return [node.outputs[0] for node in (*self.transposes, *self.carriers)]


class TransposeCancellation(Pass):
    """Removes a region's transposes where fewer have to be put in at its ends.

    Elementwise nodes give the same bits; a reduction may add in another order.
    """

    name = "transpose-cancellation"

    def apply(self, model: ir.Model) -> PassResult:
        """Finds all regions first, then rewrites those that gain."""
        removed = 0
        touched: set[ir.Node] = set()
        for region in _regions(model.graph):
            # A transpose that another region has changed waits for the next application.
            if touched.intersection(region.transposes):
                continue
            gain = _gain(region)
            if gain > 0:
                for value in region.values():
                    touched.update(value.consumers())
                _rewrite(region)
                removed += gain
        if removed:
            name_everything(model.graph)
        return PassResult(removed, f"{removed} Transpose" if removed else "")


def _regions(graph: ir.Graph) -> list[_Region]:
    """Connected regions; a node joins when all its variable operands are permuted alike."""
    region_of: dict[ir.Value, _Region] = {}
    regions: dict[int, _Region] = {}
    for node in graph:
        order = order_of(node)
        if order is not None:
            region = _Region(order, transposes=[node])
        else:
            joined = _joined(node, region_of)
            if joined is None:
                continue
            region = joined[0]
            for other in joined[1:]:
                region.transposes += other.transposes
                region.carriers += other.carriers
                region_of.update(dict.fromkeys(other.values(), region))
                del regions[id(other)]
            region.carriers.append(node)
        regions[id(region)] = region
        region_of[node.outputs[0]] = region
    return list(regions.values())


def _joined(node: ir.Node, region_of: dict[ir.Value, _Region]) -> list[_Region] | None:
    """The regions that a node would connect, None where it cannot be part of any."""
    variable = [v for v in node.inputs if v is not None and constant_array(v) is None]
    found = [region_of[value] for value in variable if value in region_of]
    if not found or len(found) != len(variable):
        return None
    order = found[0].order
    if any(region.order != order for region in found) or not carries(node, len(order)):
        return None
    return list({id(region): region for region in found}.values())


def _gain(region: _Region) -> int:
    """Transposes that go, less those that have to be put in."""
    members = {*region.transposes, *region.carriers}
    if any(node.inputs[0] in region.values() for node in region.transposes):
        return 0  # one of its transposes permutes what is permuted already
    gain = len(region.transposes)
    for value in region.values():
        outside = [user for user in dict.fromkeys(value.consumers()) if user not in members]
        gain += sum(_cancels(user, region.order) for user in outside)
        gain -= _needed(value, outside, region.order)
    return gain


def _cancels(user: ir.Node, order: Permutation) -> bool:
    second = order_of(user)
    if second is None or user.outputs[0].is_graph_output():
        return False
    return composed(order, second) == tuple(range(len(order)))


def _needed(value: ir.Value, outside: list[ir.Node], order: Permutation) -> bool:
    """Whether something outside must have the permuted value itself."""
    return value.is_graph_output() or any(
        order_of(user) is None and not absorbs(user, order) for user in outside
    )


def _rewrite(region: _Region) -> None:
    order = region.order
    members = {*region.transposes, *region.carriers}
    outside = {
        value: [user for user in dict.fromkeys(value.consumers()) if user not in members]
        for value in region.values()
    }
    for node in region.transposes:
        source, value = node.inputs[0], node.outputs[0]
        assert source is not None
        keep = _needed(value, outside[value], order)
        _redirect(value, source, outside[value], members, order)
        if not keep:
            graph_of(node).remove(node, safe=True)
    for node in region.carriers:
        value = node.outputs[0]
        # Operands are redirected by now: producers come first.
        remap(node, order)
        keep = _needed(value, outside[value], order)
        shape = shape_of(value)
        before = tuple(shape[axis] for axis in inverse(order))
        if keep:
            _materialize(node, order, outside[value])
        value.shape = ir.Shape(before)
        _redirect(value, value, outside[value], members, order)


def _materialize(node: ir.Node, order: Permutation, outside: list[ir.Node]) -> None:
    """Puts a Transpose behind a node for those readers that need the permuted value."""
    value = node.outputs[0]
    copy = ir.node("Transpose", [value], {"perm": list(order)})
    result = copy.outputs[0]
    result.shape = ir.Shape(shape_of(value))
    result.type = value.type
    graph = graph_of(node)
    graph.insert_after(node, copy)
    name = value.name
    value.name = unused_name(graph, f"{name}_before_transpose")
    result.name = name
    for index, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[index] = result
    for user in outside:
        if order_of(user) is None and not absorbs(user, order):
            _replace_input(user, value, result)


def _redirect(
    value: ir.Value,
    source: ir.Value,
    outside: list[ir.Node],
    members: set[ir.Node],
    order: Permutation,
) -> None:
    """Lets members, transposes and absorbing nodes read what was there before the permutation."""
    for user in list(dict.fromkeys(value.consumers())):
        second = order_of(user)
        if user in members:
            if second is None:
                _replace_input(user, value, source)
        elif user in outside and second is not None:
            _replace_input(user, value, source)
            whole = composed(order, second)
            user.attributes["perm"] = ir.AttrInt64s("perm", list(whole))
            if whole == tuple(range(len(whole))):
                bypass(user, user.outputs[0], source)
        elif user in outside and absorbs(user, order):
            _replace_input(user, value, source)
            remap(user, order)


def _replace_input(node: ir.Node, old: ir.Value, new: ir.Value) -> None:
    for index, value in enumerate(node.inputs):
        if value is old:
            node.replace_input_with(index, new)
