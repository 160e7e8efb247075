"""The mean square of each channel of values of a graph, computed by the graph itself.

Sums are taken where the values are computed, so that of a value nothing but one number a channel
leaves the engine. Axes: K channels (the last axis of a value), R rows (all others).
"""

from collections.abc import Sequence
from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.method import Data, InputStatistics
from graph_ir.onnx_values import shape_of, value_name
from graph_ir.passes.rewiring import Names, add_constant

OPSET = 18
"""From which on the sum takes its axes as an input."""


def mean_squares(
    model: ir.Model, values: Sequence[ir.Value], data: Data
) -> dict[str, InputStatistics]:
    """What values are like on all samples together, by their names.

    Args:
        model: of `OPSET` or later; it is not changed.
        values: floats of its graph, of one axis or more.
        data: samples, and an engine.
    """
    if not values:
        return {}
    form = model.clone()
    named = {value.name: value for node in form.graph for value in node.outputs}
    named |= {value.name: value for value in form.graph.inputs}
    names = Names(form.graph)
    outputs: dict[str, str] = {}
    # onnxruntime begins with the last of the nodes that nothing reads. So the last value comes
    # first here, and no activation waits for its sum until all the others are computed.
    for value in reversed(dict.fromkeys(values)):
        name = value_name(value)
        axes = np.arange(len(shape_of(value)) - 1, dtype=np.int64)
        # No axes at all would mean all of them, unless it is said that they mean none.
        node = ir.node(
            "ReduceSumSquare",
            [named[name], add_constant(form.graph, f"{name}.axes", axes)],
            {"keepdims": 0, "noop_with_empty_axes": 1},
        )
        node.outputs[0].name = outputs[name] = names.unused(f"{name}.square")
        node.outputs[0].shape = ir.Shape(shape_of(value)[-1:])
        node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        form.graph.append(node)
        form.graph.outputs.append(node.outputs[0])
    found = data.runner.run(form, data.samples, list(outputs.values()))
    statistics: dict[str, InputStatistics] = {}
    for value in dict.fromkeys(values):
        name = value_name(value)
        sums = np.stack([each[outputs[name]] for each in found])
        total_K: NDArray[np.float64] = sums.astype(np.float64).sum(axis=0)
        rows = len(found) * prod(shape_of(value)[:-1])
        statistics[name] = InputStatistics(total_K / max(rows, 1), rows)
    return statistics
