"""Makes bytes of the tensors of a plan.

A tensor of bytes is `QuantizeLinear -> DequantizeLinear` behind its producer. Ops that move values
or pick some move the bytes themselves. A Relu or Clip that the range of its result implies is left
out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.compression.qdq import ActivationGrid, Writer, drop
from graph_ir.compression.qdq_plan import StaticPlan
from graph_ir.onnx_values import value_name
from graph_ir.passes.rewiring import bypass


@dataclass(frozen=True, slots=True)
class QuantizedTensors:
    """What became bytes.

    Attributes:
        tensors: how many.
        clamps: Relu and Clip that their ranges made superfluous.
    """

    tensors: int
    clamps: int


def quantize_tensors(
    graph: ir.Graph, plan: StaticPlan, grids: Mapping[str, ActivationGrid]
) -> QuantizedTensors:
    """Makes bytes of the tensors of a plan.

    Args:
        graph: that the plan is of; changed in place.
        plan: made before weights were replaced.
        grids: by name of `StaticPlan.ranges`.
    """
    writer = Writer(graph)
    named = {value: grids[value_name(root)] for value, root in plan.grid_of.items()}
    # By the floats that bytes stand for.
    bytes_of: dict[ir.Value, ir.Value] = {}
    clamps = 0
    for value in plan.everywhere:
        clamp, chosen = plan.clamps.get(value), value
        if clamp is not None and clamp.is_implied_by(named[value]):
            source = clamp.node.inputs[0]
            assert source is not None
            if bypass(clamp.node, value, source):
                clamps += 1
                chosen = source
        moved = plan.grid_of[value] is not value
        levels, floats = _quantize(writer, graph, chosen, named[value], bytes_of if moved else None)
        bytes_of[floats] = levels
    for value, products in plan.products.items():
        inside = set(products)
        before = next(node for node in graph if node in inside)
        _, floats = writer.quantized(before, value, named[value])
        for node in products:
            node.replace_input_with(0, floats)
    for floats in bytes_of:
        producer = floats.producer()
        if producer is not None and not floats.uses() and not floats.is_graph_output():
            drop(producer)
    return QuantizedTensors(len(plan.everywhere) + len(plan.products), clamps)


def _quantize(
    writer: Writer,
    graph: ir.Graph,
    value: ir.Value,
    grid: ActivationGrid,
    bytes_of: Mapping[ir.Value, ir.Value] | None,
) -> tuple[ir.Value, ir.Value]:
    """Lets all readers of a value, and the graph's caller, read it from bytes.

    Args:
        writer: of the graph.
        graph: changed in place.
        value: float32.
        grid: of it.
        bytes_of: where the producer of the value only moves some; None where it computes.

    Returns:
        The bytes, and the floats that they stand for.
    """
    readers, name = list(value.uses()), value.name
    places = [at for at, output in enumerate(graph.outputs) if output is value]
    # Stands behind the producer only until the new nodes have been put in front of it.
    end = ir.node("Identity", [value], name=f"{name}/end")
    producer = value.producer()
    if producer is not None:
        graph.insert_after(producer, end)
    else:
        graph.insert_before(graph[0], end)
    if places:
        value.name = f"{name}.exact"
    if bytes_of is None or producer is None:
        levels, floats = writer.quantized(end, value, grid)
    else:
        source = producer.inputs[0]
        assert source is not None
        if source in bytes_of:
            producer.replace_input_with(0, bytes_of[source])
        for result in producer.outputs:
            unread = not result.uses() and not result.is_graph_output()
            if result is value or (unread and result.dtype is ir.DataType.FLOAT):
                result.type = ir.TensorType(ir.DataType.UINT8)
        levels, floats = value, writer.dequantized(end, value, grid)
    graph.remove(end, safe=True)
    for use in readers:
        use.node.replace_input_with(use.idx, floats)
    for at in places:
        graph.outputs[at] = floats
    if places:
        floats.name = name
    return levels, floats
