"""One-op models are valid ONNX and lower to the work that a row names."""

import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egrl.validation.one_op import Convolution, Product, layer_workload, one_op_model
from graph_ir.errors import InputError
from graph_ir.workload import TensorKind

small = st.integers(1, 9)


@st.composite
def convolutions(draw):
    groups = draw(st.integers(1, 3))
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    return Convolution(
        height=draw(st.integers(kernel[0], 12)),
        width=draw(st.integers(kernel[1], 12)),
        channels=groups * draw(small),
        filters=groups * draw(small),
        kernel_height=kernel[0],
        kernel_width=kernel[1],
        stride_height=draw(st.integers(1, 3)),
        stride_width=draw(st.integers(1, 3)),
        pads=tuple(draw(st.tuples(*[st.integers(0, 2)] * 4))),
        groups=groups,
    )


layers = st.one_of(st.builds(Product, small, small, small, st.booleans()), convolutions())


@given(layers)
def test_onnx_infers_the_same_shapes(layer):
    proto = ir.serde.serialize_model(one_op_model(layer))
    onnx.checker.check_model(proto)
    declared = [d.dim_value for d in proto.graph.output[0].type.tensor_type.shape.dim]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    shape = inferred.graph.output[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim] == declared


@given(layers)
def test_work_and_bytes(layer):
    workload = layer_workload(layer, "int8")
    (op,) = workload.ops
    (work,) = op.mac_work
    if isinstance(layer, Product):
        assert (work.rows, work.inner, work.columns) == (layer.rows, layer.inner, layer.columns)
        weight_bytes = layer.inner * layer.columns if layer.right_is_weight else 0
    else:
        inner = layer.channels // layer.groups * layer.kernel_height * layer.kernel_width
        assert work.macs == layer.output_pixels * inner * layer.filters
        assert work.inner == inner
        assert work.batch == layer.groups
        weight_bytes = inner * layer.filters
    assert op.vector_ops == 0
    assert workload.weight_bytes == weight_bytes
    kinds = {tensor.name: tensor.kind for tensor in workload.tensors}
    assert kinds["x"] is kinds["y"] is TensorKind.IO


def test_a_weight_that_no_machine_could_hold_costs_nothing():
    layer = Product(1, 1 << 20, 1 << 20)
    assert layer_workload(layer, "int8").weight_bytes == 1 << 40


def test_what_cannot_be_counted_is_named():
    with pytest.raises(InputError, match="at most 1125899906842624 elements") as caught:
        layer_workload(Product(1, 1 << 31, 1 << 31), "int8")
    assert "\n" not in str(caught.value)
