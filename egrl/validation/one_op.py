"""One row of a reference as a model of one op, lowered and evaluated like any other.

The shape of a weight is all that lowering reads of it, so a weight's data is never made.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
import onnx_ir as ir

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import PlacementProblem, build_problem
from graph_ir.errors import InputError
from graph_ir.lower import lower
from graph_ir.onnx_values import shape_of
from graph_ir.workload import Workload

OPSET = 20

LARGEST_ELEMENTS = 1 << 50
"""Of a tensor of a layer, so that bytes fit 64 bits."""


@dataclass(frozen=True, slots=True)
class Product:
    """`[rows, inner] x [inner, columns]`, the right factor a weight.

    Attributes:
        rows: M.
        columns: N.
        inner: K.
        right_is_weight: whether the right factor is a weight; an input of the model otherwise.
    """

    rows: int
    columns: int
    inner: int
    right_is_weight: bool = True


@dataclass(frozen=True, slots=True)
class Convolution:
    """A two-dimensional convolution.

    Attributes:
        height: of the input, before padding.
        width: likewise.
        channels: of the input.
        filters: output channels.
        kernel_height: of the filter.
        kernel_width: likewise.
        stride_height: rows from one output to the next.
        stride_width: columns likewise.
        pads: added to the input: top, left, bottom, right.
        groups: of channels.
        images: of the batch.
        addend: another tensor, an input `r`, is added to the result.
    """

    height: int
    width: int
    channels: int
    filters: int
    kernel_height: int
    kernel_width: int
    stride_height: int = 1
    stride_width: int = 1
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    images: int = 1
    addend: bool = False

    @property
    def output_extents(self) -> tuple[int, int]:
        """Rows and columns of the result; not above 0 where the filter does not fit."""
        top, before, bottom, after = self.pads
        return (
            (self.height + top + bottom - self.kernel_height) // self.stride_height + 1,
            (self.width + before + after - self.kernel_width) // self.stride_width + 1,
        )

    @property
    def output_pixels(self) -> int:
        """M of the product; 0 where the filter does not fit."""
        rows, columns = self.output_extents
        return max(0, rows) * max(0, columns)


Layer = Product | Convolution


def one_op_model(layer: Layer) -> ir.Model:
    """A model that holds this op alone, with static shapes.

    Args:
        layer: extents of at least 1; a convolution whose filter fits into its padded input.
    """
    result: tuple[int, ...]
    if isinstance(layer, Product):
        left = _input("x", (layer.rows, layer.inner))
        right_shape = (layer.inner, layer.columns)
        right = _weight("w", right_shape) if layer.right_is_weight else _input("w", right_shape)
        result = (layer.rows, layer.columns)
        node = ir.Node("", "MatMul", [left, right], name="layer", num_outputs=1)
    else:
        left = _input("x", (layer.images, layer.channels, layer.height, layer.width))
        kernel = (layer.kernel_height, layer.kernel_width)
        right = _weight("w", (layer.filters, layer.channels // layer.groups, *kernel))
        result = (layer.images, layer.filters, *layer.output_extents)
        attributes = [
            ir.AttrInt64s("kernel_shape", kernel),
            ir.AttrInt64s("strides", (layer.stride_height, layer.stride_width)),
            ir.AttrInt64s("pads", layer.pads),
            ir.AttrInt64("group", layer.groups),
        ]
        node = ir.Node("", "Conv", [left, right], attributes, name="layer", num_outputs=1)
    nodes, output = [node], node.outputs[0]
    inputs = [value for value in (left, right) if value.const_value is None]
    if isinstance(layer, Convolution) and layer.addend:
        output.name, output.shape, output.type = "c", ir.Shape(result), ir.TensorType(_FLOAT)
        inputs.append(_input("r", result))
        nodes.append(ir.Node("", "Add", [output, inputs[-1]], name="add", num_outputs=1))
        output = nodes[-1].outputs[0]
    output.name, output.shape, output.type = "y", ir.Shape(result), ir.TensorType(_FLOAT)
    weights = [value for value in (left, right) if value.const_value is not None]
    graph = ir.Graph(
        inputs,
        [output],
        nodes=nodes,
        initializers=weights,
        opset_imports={"": OPSET},
        name="main",
    )
    return ir.Model(graph, ir_version=10)


_FLOAT = ir.DataType.FLOAT


def _input(name: str, shape: tuple[int, ...]) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(_FLOAT))


def _weight(name: str, shape: tuple[int, ...]) -> ir.Value:
    def zeros() -> ir.TensorProtocol:
        return ir.Tensor(np.zeros(shape, np.float32))

    value = _input(name, shape)
    value.const_value = ir.LazyTensor(zeros, dtype=_FLOAT, shape=ir.Shape(shape), name=name)
    return value


@lru_cache(maxsize=8192)
def layer_workload(layer: Layer, execution_type: str) -> Workload:
    """The layer lowered: one op and its tensors.

    Raises:
        InputError: a tensor is too large to count its bytes.
    """
    model = one_op_model(layer)
    for value in (*model.graph.inputs, *model.graph.initializers.values(), *model.graph.outputs):
        extents = shape_of(value)
        if prod(extents) > LARGEST_ELEMENTS:
            raise InputError(
                f"{layer}: expected tensors of at most {LARGEST_ELEMENTS} elements, "
                f"got one of {' x '.join(map(str, extents))}"
            )
    return lower(model, "main", execution_type).workload


def layer_problem(
    layer: Layer, accelerator: Accelerator, pins: dict[str, str] | None = None
) -> PlacementProblem:
    """The placement problem of a layer in the accelerator's default type.

    Args:
        layer: the row.
        accelerator: the reference machine.
        pins: memory of the tensors `x`, `w` and `y`.
    """
    return build_problem(layer_workload(layer, accelerator.default_type), accelerator, pins)
