"""Equal computations are done once, equal constants are kept once."""

import hashlib
from collections.abc import Hashable

import numpy as np
import onnx_ir as ir

from graph_ir.folding import NEVER_FOLDED
from graph_ir.passes.base import Pass, PassResult
from graph_ir.passes.rewiring import bypass, constant_array, graph_of

# Up to here constants are scalars and shapes, and merging them is what lets nodes merge.
_SMALL_BYTES = 128


class CommonSubexpression(Pass):
    """f(x), f(x) -> f(x), once; likewise constants with the same bytes.

    Random draws are never merged. A larger constant whose elements are all the same (zero biases,
    unit scales, placeholder weights) is not merged with its like either: such tensors are equal
    by chance, and tying them would invent shared weights. Nor are weights that are dequantized: one
    that two products read is fused with neither.
    """

    name = "common-subexpression"

    def apply(self, model: ir.Model) -> PassResult:
        """Merges constants first, then nodes in topological order."""
        graph = model.graph
        constants = _merge_constants(graph)
        nodes = 0
        seen: dict[Hashable, ir.Node] = {}
        for node in tuple(graph):
            key = _key(node)
            if key is None:
                continue
            earlier = seen.setdefault(key, node)
            if earlier is not node and _merge(node, earlier):
                nodes += 1
        details = f"{nodes} nodes and {constants} constants merged"
        return PassResult(nodes + constants, details if nodes + constants else "")


def _merge(node: ir.Node, earlier: ir.Node) -> bool:
    """Lets the readers of a node read an earlier one."""
    if any(output.is_graph_output() for output in node.outputs):
        if len(node.outputs) > 1:
            return False
        return bypass(node, node.outputs[0], earlier.outputs[0])
    for output, replacement in zip(node.outputs, earlier.outputs, strict=True):
        output.replace_all_uses_with(replacement)
    graph_of(node).remove(node, safe=True)
    return True


def _key(node: ir.Node) -> Hashable | None:
    """What two nodes must share to compute the same, None for those that never do."""
    if node.op_type in NEVER_FOLDED - {"DequantizeLinear"} or _trains(node):
        return None
    attributes: list[tuple[str, Hashable]] = []
    for name, attribute in sorted(node.attributes.items()):
        value = attribute.value
        match attribute.type:
            case ir.AttributeType.INT | ir.AttributeType.FLOAT | ir.AttributeType.STRING:
                attributes.append((name, repr(value)))
            case ir.AttributeType.INTS | ir.AttributeType.FLOATS | ir.AttributeType.STRINGS:
                attributes.append((name, repr(tuple(value))))
            case _:
                return None
    return (
        node.domain,
        node.op_type,
        node.overload,
        tuple(id(value) for value in node.inputs),
        tuple(bool(output.name) for output in node.outputs),
        tuple(attributes),
    )


def _trains(node: ir.Node) -> bool:
    """A Dropout that may draw at random."""
    if node.op_type != "Dropout" or len(node.inputs) < 3 or node.inputs[2] is None:
        return False
    training = constant_array(node.inputs[2])
    return training is None or bool(training.any())


def _merge_constants(graph: ir.Graph) -> int:
    alike: dict[Hashable, list[ir.Value]] = {}
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor is None or value.is_graph_output() or value.is_graph_input():
            continue
        if tensor.dtype != ir.DataType.STRING:
            form = (tensor.dtype, tuple(tensor.shape), _sample(tensor))
            alike.setdefault(form, []).append(value)
    merged = 0
    for values in alike.values():
        kept: dict[bytes, ir.Value] = {}
        for value in values if len(values) > 1 else ():
            content = _content(value)
            if content is None:
                continue
            earlier = kept.setdefault(content, value)
            if earlier is not value:
                value.replace_all_uses_with(earlier)
                del graph.initializers[value.name or ""]
                merged += 1
    return merged


def _sample(tensor: ir.TensorProtocol) -> bytes:
    """Some bytes of a tensor, so that few have to be read whole."""
    if tensor.nbytes <= _SMALL_BYTES:
        return tensor.tobytes()
    flat = tensor.numpy().reshape(-1)
    return bytes(flat[:: max(1, len(flat) // 16)].tobytes())


def _content(value: ir.Value) -> bytes | None:
    """The bytes of a constant or their digest, None where it may not be merged."""
    tensor = value.const_value
    assert tensor is not None
    if tensor.nbytes <= _SMALL_BYTES:
        return tensor.tobytes()
    if any(_dequantizes(user) for user, _ in value.uses()):
        return None
    flat = np.ascontiguousarray(tensor.numpy()).reshape(-1)
    elements = flat.view(np.uint8).reshape(-1, flat.itemsize)
    if bool((elements == elements[0]).all()):
        return None
    return hashlib.sha256(elements.data).digest()


def _dequantizes(node: ir.Node) -> bool:
    """Whether a node is a DequantizeLinear, or widens the scales of one."""
    if node.domain != "":
        return False
    if node.op_type == "Cast":
        return any(user.op_type == "DequantizeLinear" for user, _ in node.outputs[0].uses())
    return node.op_type == "DequantizeLinear"
