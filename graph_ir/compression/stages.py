"""Runs a model from value to value, so that what comes later may be changed in between.

A stage is what must be computed for the next value and is not computed yet. It is run on all
samples, what later stages read is kept, the rest is dropped: never more than one stage's weights
and the values between two stages are in memory, however large the model is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.compression.method import Array, Feeds, Runner
from graph_ir.compression.sites import Site
from graph_ir.onnx_values import is_constant, value_name


@dataclass(frozen=True, slots=True)
class SharedInput:
    """Sites that read the same value.

    Attributes:
        value: that they read.
        sites: in topological order.
    """

    value: ir.Value
    sites: tuple[Site, ...]


def by_input(sites: Sequence[Site]) -> tuple[SharedInput, ...]:
    """Sites by the value that they read, in the order of the first of each.

    Whatever a value depends on is before it, so it can be quantized first.
    """
    groups: dict[ir.Value, list[Site]] = {}
    for site in sites:
        groups.setdefault(site.input, []).append(site)
    return tuple(SharedInput(value, tuple(found)) for value, found in groups.items())


def run_in_stages(
    model: ir.Model, values: Sequence[ir.Value], samples: Sequence[Feeds], runner: Runner
) -> Iterator[list[Array]]:
    """Each value in turn, for every sample.

    Between two of them the graph downstream of the last may be changed, and is run as it then is.

    Args:
        model: without control flow, in topological order.
        values: of its graph, each computed from inputs, none of them from a later one.
        samples: inputs.
        runner: executes the stages.

    Yields:
        The value of every sample; the caller does not keep the list.
    """
    known: dict[ir.Value, None] = dict.fromkeys(model.graph.inputs)
    held = [{value_name(v): sample[value_name(v)] for v in known} for sample in samples]
    for at, value in enumerate(values):
        if value not in known:
            stage, inputs, outputs = _stage(model, value, values[at + 1 :], known)
            _advance(runner, stage, inputs, outputs, held)
            known = dict.fromkeys([*known, *outputs])
        later = _read_by(_needed(values[at + 1 :], known), values[at + 1 :])
        known = {v: None for v in known if v in later or v is value}
        names = {value_name(v) for v in known}
        for number, feeds in enumerate(held):
            held[number] = {name: array for name, array in feeds.items() if name in names}
        yield [feeds[value_name(value)] for feeds in held]


def _stage(
    model: ir.Model, value: ir.Value, later: Sequence[ir.Value], known: dict[ir.Value, None]
) -> tuple[ir.Model, list[ir.Value], list[ir.Value]]:
    """The part of a model between what is known and a value, with its inputs and outputs."""
    now = _needed([value], known)
    read = _read_by(now, ())
    # What depends on constants alone is computed again by whoever needs it, instead of being held
    # once a sample.
    computed: set[ir.Value] = set()
    for node in model.graph:
        if node in now and any(v in known or v in computed for v in node.inputs if v is not None):
            computed.update(node.outputs)
    after = {node: None for node in _needed(later, known) if node not in now}
    wanted = _read_by(after, later)
    inputs = [v for v in known if v in read]
    outputs = [
        v for node in now for v in node.outputs if v is value or (v in wanted and v in computed)
    ]
    graph = ir.convenience.extract(model.graph, inputs, outputs)
    part = ir.Model(graph, ir_version=model.ir_version, functions=tuple(model.functions.values()))
    return part, inputs, outputs


def _advance(
    runner: Runner,
    stage: ir.Model,
    inputs: list[ir.Value],
    outputs: list[ir.Value],
    held: list[Feeds],
) -> None:
    """Adds a stage's outputs to what is held of every sample."""
    names = [value_name(v) for v in inputs]
    given = [{name: feeds[name] for name in names} for feeds in held]
    computed = runner.run(stage, given, [value_name(v) for v in outputs])
    for feeds, values in zip(held, computed, strict=True):
        feeds |= values


def _needed(values: Sequence[ir.Value], known: dict[ir.Value, None]) -> dict[ir.Node, None]:
    """The nodes that compute values from what is known."""
    nodes: dict[ir.Node, None] = {}
    open_values = list(values)
    while open_values:
        value = open_values.pop()
        node = value.producer()
        if value in known or node is None or node in nodes:
            continue
        nodes[node] = None
        open_values += [v for v in node.inputs if v is not None and not is_constant(v)]
    return nodes


def _read_by(nodes: dict[ir.Node, None], values: Sequence[ir.Value]) -> set[ir.Value]:
    """What nodes read, and the values themselves; for membership only."""
    return {v for node in nodes for v in node.inputs if v is not None} | set(values)
