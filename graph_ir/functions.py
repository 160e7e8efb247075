"""Inlines the functions that a model defines."""

import graphlib

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from graph_ir.errors import InputError
from graph_ir.text import quoted, reason_of

MAXIMUM_INLINED_NODES = 1_000_000


def inline_functions(model: ir.Model, source: str) -> None:
    """Replaces every call of a model-local function by its body, in place.

    Raises:
        InputError: functions that call each other in a circle, or that were written for another
            opset in which one of their operators differs.
    """
    if not model.functions:
        return
    nodes = _inlined_nodes(model, source)
    if nodes > MAXIMUM_INLINED_NODES:
        raise InputError(
            f"{source}: its functions come to {nodes} nodes when inlined, expected at most "
            f"{MAXIMUM_INLINED_NODES}"
        )
    for function in model.functions.values():
        _align_opset(model, function, source)
    try:
        common.InlinePass()(model)
    except ValueError as error:
        raise InputError(
            f"{source}: its functions cannot be inlined: {reason_of(error)}"
        ) from error
    remove_unused = common.RemoveUnusedFunctionsPass()  # type: ignore[no-untyped-call]
    remove_unused(model)


def _inlined_nodes(model: ir.Model, source: str) -> int:
    """How many nodes the model will have: functions that call functions multiply."""
    calls = {
        identifier: [
            node.op_identifier()
            for node in function.all_nodes()
            if node.op_identifier() in model.functions
        ]
        for identifier, function in model.functions.items()
    }
    try:
        order = list(graphlib.TopologicalSorter(calls).static_order())
    except graphlib.CycleError as error:
        names = " -> ".join(quoted(identifier[1]) for identifier in error.args[1])
        raise InputError(f"{source}: functions call each other in a circle: {names}") from error
    nodes: dict[ir.OperatorIdentifier, int] = {}
    for identifier in order:
        body = sum(1 for _ in model.functions[identifier].all_nodes())
        nodes[identifier] = body + sum(nodes[callee] for callee in calls[identifier])
    return sum(nodes.get(node.op_identifier(), 1) for node in model.graph.all_nodes())


def _align_opset(model: ir.Model, function: ir.Function, source: str) -> None:
    """Lets a function use the model's opset where none of its operators changed in between."""
    for domain, version in list(function.opset_imports.items()):
        wanted = model.opset_imports.get(domain, version)
        if wanted == version:
            continue
        for node in function.all_nodes():
            if node.domain != domain or node.op_identifier() in model.functions:
                continue
            if _since(node.op_type, version, domain) != _since(node.op_type, wanted, domain):
                raise InputError(
                    f"{source}: function {quoted(function.name)} is written for opset {version}, "
                    f"the model for {wanted}, and {quoted(node.op_type)} differs between them"
                )
        function.opset_imports[domain] = wanted


def _since(op_type: str, version: int, domain: str) -> int:
    """The opset that introduced the form of an operator that a version uses, 0 if there is none."""
    if not onnx.defs.has(op_type, domain):
        return 0
    try:
        return int(onnx.defs.get_schema(op_type, version, domain).since_version)
    except onnx.defs.SchemaError:
        return 0
