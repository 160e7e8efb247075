"""The gate: what was quantized must be executed by a kernel that takes integers.

onnxruntime runs any form of a quantized weight, and says nothing where it has no kernel for it: it
then widens the weight on every call, a hundred times slower than float. Here a graph is compared
with what a session made of it, joined by the names of tensors, since onnxruntime renames and
fuses nodes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from graph_ir.compression.execution_options import COLUMNS_OF_2_BITS
from graph_ir.errors import InputError
from graph_ir.onnx_values import is_constant, node_name, op_key, value_name

QUANTIZED_KERNELS = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeMatMul",
        "GatherBlockQuantized",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "QAttention",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
    }
)
_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose"})
# Widening fewer elements costs less than launching the node.
_HARMLESS_ELEMENTS = 4096
_WIDENING = frozenset({"DequantizeLinear", "Cast", "Transpose", "BitShift", "BitwiseAnd"})
_INTEGERS = frozenset({"INT2", "UINT2", "INT4", "UINT4", "INT8", "UINT8"})


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant of an optimized graph: name of its ONNX element type, and extents."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A node of the graph that onnxruntime executes.

    Attributes:
        name: onnxruntime's.
        op_type: of the kernel.
        domain: "" for the standard one.
        inputs: names, "" for one that is left out.
        outputs: names.
        attributes: integer ones.
        value: the tensor of the source graph that it computes, or helps to compute; "" for none.
    """

    name: str
    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, int]
    value: str = ""

    @property
    def quantized(self) -> bool:
        """Whether it computes with integer weights; kernels of our own do."""
        ours = self.domain not in ("", "com.microsoft", "com.microsoft.nchwc")
        return ours or self.op_type in QUANTIZED_KERNELS

    def described(self) -> str:
        """Its name, and what decides on its speed."""
        if self.op_type != "MatMulNBits":
            return self.op_type
        bits, block, level = (self.attributes.get(key, 0) for key in _N_BITS_ATTRIBUTES)
        return f"MatMulNBits of {bits} bits in blocks of {block}, accuracy {level}"


# How onnxruntime names what it transposes for a fusion, and signed bytes made unsigned.
_DERIVED = ("_T", "_s8_2_u8")
_N_BITS_ATTRIBUTES = ("bits", "block_size", "accuracy_level")


@dataclass(frozen=True, slots=True)
class Executed:
    """What a session made of a graph.

    Attributes:
        kernels: in the order of execution.
        constants: by name.
    """

    kernels: tuple[Kernel, ...]
    constants: Mapping[str, Constant]


@dataclass(frozen=True, slots=True)
class Forms:
    """What executes the quantized nodes of a graph.

    Attributes:
        kernels: how many nodes each executes, by what `Kernel.described` says.
        notes: what came quantized in the source model and is slow; one line each.
    """

    kernels: Mapping[str, int]
    notes: tuple[str, ...]


def check_forms(
    graph: ir.Graph, executed: Executed, accuracy: int | None, earlier: frozenset[str]
) -> Forms:
    """Refuse what onnxruntime would execute by widening a weight on every call.

    Args:
        graph: compressed.
        executed: what a session made of it.
        accuracy: that fused products must have; None where any will do.
        earlier: names of the constants of the source model: what came in a slow form stays, and
            is noted.

    Raises:
        InputError: naming the weight, its node and the reason.
    """
    notes: list[str] = []
    for name, where, reason in _slow(graph, executed, accuracy, earlier):
        if name not in earlier:
            raise InputError(
                f"weight {name} of {where}: onnxruntime has no fast and right kernel for this "
                f"form: {reason}"
            )
        notes.append(f"{where}: weight {name} came in a slow form: {reason}")
    used: Counter[str] = Counter()
    find = _Finder(graph, executed)
    for node, weight in _quantized_nodes(graph):
        kernels = find.kernels(node, weight)
        used.update({kernel.described() for kernel in kernels if kernel.quantized})
    return Forms(dict(sorted(used.items())), tuple(notes))


def _slow(
    graph: ir.Graph, executed: Executed, accuracy: int | None, earlier: frozenset[str]
) -> list[tuple[str, str, str]]:
    """The constant, the node that it is a weight of, and the reason, of every slow form."""
    values = _values(graph)
    found: list[tuple[str, str, str]] = []
    for kernel in executed.kernels:
        reason, at = None, 1
        if kernel.op_type == "MatMulNBits":
            reason = _slow_attributes(kernel, executed)
        elif kernel.op_type in _WIDENING and _widens(kernel, executed):
            reason, at = f"{kernel.op_type} of the whole weight on every call", 0
        name = _root(kernel.inputs[at], values) if len(kernel.inputs) > at else ""
        fused = kernel.op_type == "MatMulNBits" and name not in earlier
        level = kernel.attributes.get("accuracy_level", 0)
        if reason is None and fused and accuracy is not None and level != accuracy:
            reason = f"its kernel has accuracy {level}, expected {accuracy}"
        bits, columns = (kernel.attributes.get(key, 0) for key in ("bits", "N"))
        if reason is None and fused and bits == 2 and columns % COLUMNS_OF_2_BITS:
            reason = f"its kernel is wrong for {columns} columns of 2 bits, no multiple of 4"
        if reason is not None:
            found.append((name, _reader(name, kernel, values), reason))
    find = _Finder(graph, executed)
    named = {name for name, _, _ in found}
    for node, weight in _quantized_nodes(graph):
        kernels = find.kernels(node, weight)
        name = value_name(weight)
        product = op_key(node) in _PRODUCTS
        if product and name not in named and not any(kernel.quantized for kernel in kernels):
            used = ", ".join(kernel.op_type for kernel in kernels) or "nothing"
            found.append((name, node_name(node), f"its kernel is {used}, which takes floats"))
    return found


def _slow_attributes(kernel: Kernel, executed: Executed) -> str | None:
    bits, block, level = (kernel.attributes.get(key, 0) for key in _N_BITS_ATTRIBUTES)
    inputs = (*kernel.inputs, "", "", "")
    zeros = executed.constants.get(inputs[3])
    if inputs[4]:
        return "MatMulNBits with g_idx"
    if zeros is not None and zeros.dtype not in _INTEGERS:
        return f"MatMulNBits with {zeros.dtype} zero points"
    if bits in (2, 8) and level != 4:
        return f"MatMulNBits of {bits} bits with accuracy {level}, expected 4"
    if bits == 2 and block in (16, 256):
        return f"MatMulNBits of 2 bits in blocks of {block}, expected 32, 64 or 128"
    return None


def _widens(kernel: Kernel, executed: Executed) -> bool:
    constant = executed.constants.get(kernel.inputs[0]) if kernel.inputs else None
    if constant is None or constant.dtype not in _INTEGERS:
        return False
    return prod(constant.shape) > _HARMLESS_ELEMENTS


def _values(graph: ir.Graph) -> dict[str, ir.Value]:
    values = {name: value for name, value in graph.initializers.items() if name}
    values.update({value_name(value): value for node in graph for value in node.outputs})
    return values


def _root(name: str, values: Mapping[str, ir.Value]) -> str:
    """The constant of the source graph that a constant of the optimized one was made from."""
    for suffix in _DERIVED:
        name = name if name in values else name.removesuffix(suffix)
    value = values.get(name)
    while value is not None and not is_constant(value):
        producer = value.producer()
        value = producer.inputs[0] if producer is not None and producer.inputs else None
    return value_name(value) if value is not None else name


def _reader(name: str, kernel: Kernel, values: Mapping[str, ir.Value]) -> str:
    """The node that a constant is a weight of, behind what widens it."""
    value = values.get(name)
    while value is not None and value.uses():
        node = next(iter(value.uses())).node
        if op_key(node) not in (*_WIDENING, "Reshape", "Identity"):
            return node_name(node)
        value = node.outputs[0]
    return kernel.name


def _quantized_nodes(graph: ir.Graph) -> list[tuple[ir.Node, ir.Value]]:
    """Products of a dequantized constant, rows looked up in one, and what had integers before."""
    found: list[tuple[ir.Node, ir.Value]] = []
    for node in graph:
        key = op_key(node)
        if node.op_type in QUANTIZED_KERNELS and len(node.inputs) > 1:
            weight = node.inputs[1]
        elif key in _PRODUCTS:
            weight = _dequantized_constant(node.inputs[1])
        elif key == "DequantizeLinear":
            weight = _looked_up(node.inputs[0])
        else:
            continue
        if weight is not None:
            found.append((node, weight))
    return found


def _dequantized_constant(value: ir.Value | None) -> ir.Value | None:
    producer = value.producer() if value is not None else None
    if producer is None or op_key(producer) != "DequantizeLinear":
        return None
    return _constant_behind(producer.inputs[0])


def _looked_up(value: ir.Value | None) -> ir.Value | None:
    producer = value.producer() if value is not None else None
    if producer is None or op_key(producer) != "Gather":
        return None
    return _constant_behind(producer.inputs[0])


def _constant_behind(value: ir.Value | None) -> ir.Value | None:
    while value is not None and not is_constant(value):
        producer = value.producer()
        steps = (*_WIDENING, "Reshape", "Identity")
        value = producer.inputs[0] if producer is not None and op_key(producer) in steps else None
    return value


class _Finder:
    """Finds the kernels that compute a node: by its weight, else by the value that it yields."""

    def __init__(self, graph: ir.Graph, executed: Executed) -> None:
        values = _values(graph)
        self._by_value: dict[str, list[Kernel]] = {}
        self._by_weight: dict[str, list[Kernel]] = {}
        for kernel in executed.kernels:
            self._by_value.setdefault(kernel.value, []).append(kernel)
            if kernel.quantized:
                for name in dict.fromkeys(_root(name, values) for name in kernel.inputs if name):
                    self._by_weight.setdefault(name, []).append(kernel)

    def kernels(self, node: ir.Node, weight: ir.Value) -> list[Kernel]:
        """Those that take its weight as integers, or whatever computes its result."""
        # A table's rows are looked up by no such kernel, but a product may be tied to it.
        looked_up = op_key(node) == "DequantizeLinear"
        taking = None if looked_up else self._by_weight.get(value_name(weight))
        return taking or self._by_value.get(_computed_in(node, self._by_value), [])


def _computed_in(node: ir.Node, by_value: Mapping[str, Sequence[Kernel]]) -> str:
    """The first value at or behind a node that a kernel yields; "" where nothing does."""
    level = [node]
    seen = {node}
    while level:
        for each in level:
            for output in each.outputs:
                if output.name and output.name in by_value:
                    return output.name
        after = [user for each in level for output in each.outputs for user, _ in output.uses()]
        level = [user for user in dict.fromkeys(after) if user not in seen]
        seen.update(level)
    return ""
