"""Replaces nodes whose inputs are all constants by their values."""

from collections.abc import Mapping
from math import prod

import numpy as np
import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.node_forms import describe_node, infer_forms, is_constant, isolate, static_shape
from graph_ir.one_node import Array, OneNode, OneNodeError, TensorForm, evaluate
from graph_ir.text import quoted

# All constants that folding makes, together.
MAXIMUM_FOLDED_BYTES = 8 * 1024**3
# Operators whose output shape follows from data, folded when the input is no larger than this.
_MAXIMUM_DATA_DEPENDENT_BYTES = 64 * 1024**2

_DATA_DEPENDENT = frozenset({"NonZero", "Unique", "Compress", "NonMaxSuppression"})

# Random draws differ from run to run; a dequantized weight is larger than a quantized one, and
# the pair of scale and integers is what placement and execution want to see.
NEVER_FOLDED = frozenset(
    {
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
        "DequantizeLinear",
        "If",
        "Loop",
        "Scan",
    }
)

_FOLDED_TYPES = frozenset(
    {
        ir.DataType.FLOAT,
        ir.DataType.DOUBLE,
        ir.DataType.FLOAT16,
        ir.DataType.INT8,
        ir.DataType.UINT8,
        ir.DataType.INT16,
        ir.DataType.UINT16,
        ir.DataType.INT32,
        ir.DataType.UINT32,
        ir.DataType.INT64,
        ir.DataType.UINT64,
        ir.DataType.BOOL,
    }
)


class Folder:
    """Folds the nodes of one graph and keeps account of the memory that the results take.

    Args:
        graph: changed in place.
        opsets: versions by domain.
        source: file name, for messages.
    """

    def __init__(self, graph: ir.Graph, opsets: Mapping[str, int], source: str) -> None:
        self._graph = graph
        self._opsets = opsets
        self._source = source
        self._live_bytes: dict[ir.Value, int] = {}
        self.folded = 0

    def fold(self, node: ir.Node) -> bool:
        """Folds one node if its value is known.

        Args:
            node: whose inputs have static shapes.

        Returns:
            Whether it was folded and is gone.

        Raises:
            InputError: the result would not fit in memory.
        """
        if node.op_type == "Constant" and node.domain == "":
            return self._lift_constant(node)
        if self._fold_shape(node):
            return True
        if node.op_type in NEVER_FOLDED or not node.outputs or _widens_scales(node):
            return False
        values = self._constant_inputs(node)
        if values is None:
            return False
        isolated = isolate(node, self._opsets)
        if not self._reserve(node, isolated):
            return False
        try:
            results = evaluate(isolated, values)
        except OneNodeError:
            return False
        arrays = {index: results.get(f"o{index}") for index in range(len(node.outputs))}
        self._replace(node, {i: array for i, array in arrays.items() if array is not None})
        return True

    def _constant_inputs(self, node: ir.Node) -> dict[str, Array] | None:
        values: dict[str, Array] = {}
        for index, value in enumerate(node.inputs):
            if value is None:
                continue
            if not is_constant(value) or value.dtype not in _FOLDED_TYPES:
                return None
            assert value.const_value is not None
            values[f"i{index}"] = value.const_value.numpy()
        return values

    def _reserve(self, node: ir.Node, isolated: OneNode) -> bool:
        """Whether the outputs have a bounded size, raising where they do not fit."""
        forms = infer_forms(node, self._opsets, self._source)
        live = sum(self._live_bytes.values())
        needed = 0
        for index, output in enumerate(node.outputs):
            if not output.name:
                continue
            form = forms.get(index)
            if form is None or form.data_type not in _FOLDED_TYPES:
                return False
            if None in form.shape:
                given = sum(_form_bytes(form) for form in isolated.inputs if form is not None)
                if node.op_type in _DATA_DEPENDENT and given <= _MAXIMUM_DATA_DEPENDENT_BYTES:
                    continue
                return False
            check_extents(form, f"{self._source}: output of {describe_node(node)}")
            needed += _form_bytes(form)
        if live + needed > MAXIMUM_FOLDED_BYTES:
            raise InputError(
                f"{self._source}: {describe_node(node)}: its constant result needs {needed} bytes, "
                f"but {MAXIMUM_FOLDED_BYTES - live} are left of {MAXIMUM_FOLDED_BYTES}"
            )
        return True

    def _fold_shape(self, node: ir.Node) -> bool:
        """Shape and Size of a value need no data, only a static shape."""
        if node.domain != "" or node.op_type not in ("Shape", "Size"):
            return False
        value = node.inputs[0] if node.inputs else None
        if value is None or value.shape is None:
            return False
        extents = np.array(static_shape(value.shape), dtype=np.int64)
        if node.op_type == "Size":
            result: Array = np.array(prod(extents.tolist()), dtype=np.int64)
        else:
            start = node.attributes.get_int("start", 0)
            end = node.attributes.get_int("end", len(extents))
            result = extents[start:end]
        self._replace(node, {0: result})
        return True

    def _lift_constant(self, node: ir.Node) -> bool:
        if len(node.attributes) != 1:
            raise InputError(
                f"{self._source}: {describe_node(node)}: expected one value, "
                f"got {len(node.attributes)}"
            )
        attribute = next(iter(node.attributes.values()))
        match attribute.name, attribute.type:
            case "value", ir.AttributeType.TENSOR:
                tensor: ir.TensorProtocol = attribute.as_tensor()
            case "value_int", ir.AttributeType.INT:
                tensor = ir.tensor(np.array(attribute.as_int(), dtype=np.int64))
            case "value_ints", ir.AttributeType.INTS:
                tensor = ir.tensor(np.array(attribute.as_ints(), dtype=np.int64))
            case "value_float", ir.AttributeType.FLOAT:
                tensor = ir.tensor(np.array(attribute.as_float(), dtype=np.float32))
            case "value_floats", ir.AttributeType.FLOATS:
                tensor = ir.tensor(np.array(attribute.as_floats(), dtype=np.float32))
            case _:
                raise InputError(
                    f"{self._source}: {describe_node(node)}: {quoted(attribute.name)} of type "
                    f"{attribute.type.name} is not supported"
                )
        self._replace_tensors(node, {0: tensor})
        return True

    def _replace(self, node: ir.Node, arrays: Mapping[int, Array]) -> None:
        tensors = {index: ir.tensor(array) for index, array in arrays.items()}
        constants = self._replace_tensors(node, tensors)
        for constant in constants:
            assert constant.const_value is not None
            self._live_bytes[constant] = constant.const_value.nbytes

    def _replace_tensors(
        self, node: ir.Node, tensors: Mapping[int, ir.TensorProtocol]
    ) -> list[ir.Value]:
        """Puts initializers in the place of a node, and drops constants that only it used."""
        replaced = [(node.outputs[index], tensor) for index, tensor in tensors.items()]
        read = [value for value in node.inputs if value is not None]
        constants: list[ir.Value] = []
        for output, tensor in replaced:
            tensor.name = output.name
            constant = ir.Value(
                name=output.name,
                shape=ir.Shape(static_shape(tensor.shape)),
                type=ir.TensorType(tensor.dtype),
                const_value=tensor,
            )
            output.replace_all_uses_with(constant, replace_graph_outputs=True)
            constants.append(constant)
        self._graph.remove(node, safe=True)
        for constant in constants:
            self._graph.register_initializer(constant)
        for value in read:
            if is_constant(value) and not value.uses() and not value.is_graph_output():
                self._live_bytes.pop(value, None)
                self._graph.initializers.pop(value.name or "", None)
        self.folded += 1
        return constants


def check_extents(form: TensorForm, where: str) -> None:
    """Refuses what no memory holds: strings, negative extents, more than 2^44 bytes.

    Raises:
        InputError: naming the place.
    """
    if form.data_type is ir.DataType.STRING:
        raise InputError(f"{where}: it holds strings, which have no fixed size")
    known = [extent for extent in form.shape if extent is not None]
    if any(extent < 0 for extent in known):
        raise InputError(f"{where}: negative extent in its shape {list(form.shape)}")
    if max([*known, _form_bytes(form)]) > 2**44:
        raise InputError(f"{where}: its shape {list(form.shape)} is beyond any memory")


def _form_bytes(form: TensorForm) -> int:
    extents = [extent for extent in form.shape if extent is not None]
    return (prod(extents) * form.data_type.bitwidth + 7) // 8


def _widens_scales(node: ir.Node) -> bool:
    """Whether a Cast is all that is between stored scales and a DequantizeLinear."""
    uses = node.outputs[0].uses() if node.op_type == "Cast" else ()
    return bool(uses) and all(
        user.op_type == "DequantizeLinear" and user.domain == "" and at == 1 for user, at in uses
    )
