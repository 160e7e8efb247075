"""Views cost no op and no memory; constants that steer an op are part of it."""

import pytest

from graph_ir.errors import InputError
from graph_ir.fusion.fuse import fuse
from graph_ir.lower import lower
from graph_ir.workload import Role, Split
from tests.graph_ir.fusion_support import fused, graph
from tests.graph_ir.lowering_support import check_workload

NOTHING: frozenset[str] = frozenset()
FLIP = "t = Transpose<perm: ints = [1, 0]>(a)\n"


def test_view_joins_every_reader() -> None:
    model = graph(
        f"a = Relu(x)\n{FLIP}y = Softmax(t)\nz = LogSoftmax(t)",
        "float[2,8] x",
        "float[8,2] y, float[8,2] z",
    )
    assert fused(model) == [
        "elementwise: Relu",
        "softmax: Transpose Softmax",
        "softmax: Transpose LogSoftmax",
    ]
    fusion = fuse(model)
    names = {view.name: owner.name for view, owner in fusion.owners.items()}
    assert names == {"t": "a"}


def test_view_that_is_not_streamed_is_a_copy() -> None:
    model = graph(f"a = Relu(x)\n{FLIP}y = Softmax(t)", "float[2,8] x", "float[8,2] y")
    assert fused(model, NOTHING) == ["elementwise: Relu", "movement: Transpose", "softmax: Softmax"]


def test_reshape_is_a_view_everywhere() -> None:
    model = graph(
        "a = Softmax(x)\nr = Reshape(a, shape)\ny = Softmax(r)",
        "float[2,8] x",
        "float[4,4] y",
        "int64[2] shape = {4, 4}",
    )
    assert fused(model, NOTHING) == ["softmax: Softmax", "softmax: Reshape Softmax"]


def test_result_that_leaves_through_a_view_is_written_in_that_form() -> None:
    model = graph(f"a = Relu(x)\n{FLIP}y = Identity(t)", "float[2,8] x", "float[8,2] y")
    assert fused(model) == ["elementwise: Relu Transpose Identity"]
    (op,) = lower(model).workload.ops
    assert [o.role for o in op.operands] == [Role.OTHER, Role.OUTPUT]


def test_view_that_leaves_beside_its_source_is_a_copy() -> None:
    model = graph(
        "a = Relu(x)\ny = Transpose<perm: ints = [1, 0]>(a)\nz = Softmax(a)\nu = Softmax(y)",
        "float[2,8] x",
        "float[8,2] y, float[2,8] z, float[8,2] u",
    )
    assert fused(model) == [
        "elementwise: Relu",
        "movement: Transpose",
        "softmax: Softmax",
        "softmax: Softmax",
    ]
    lowered = lower(model)
    check_workload(lowered)
    assert lowered.groups[3].input_values == ("y",)


def test_view_of_an_input_that_leaves_is_a_copy() -> None:
    model = graph("y = Reshape(x, shape)", "float[2,8] x", "float[16] y", "int64[1] shape = {16}")
    assert fused(model) == ["movement: Reshape"]


def test_split_whose_parts_leave_is_one_copy() -> None:
    model = graph(
        "y, z = Split<axis: int = 1, num_outputs: int = 2>(x)",
        "float[2,8] x",
        "float[2,4] y, float[2,4] z",
    )
    assert fused(model) == ["movement: Split"]
    assert lower(model).groups[0].output_values == ("y", "z")


def test_slice_is_charged_for_what_it_lets_through() -> None:
    model = graph(
        "a = Relu(x)\ns = Slice(a, one, three, zero)\nt = Slice(a, zero, one, zero)\n"
        "y = Softmax(s)\nz = Softmax(t)\nb = Add(s, t)\nc = Softmax(b)",
        "float[4,8] x",
        "float[2,8] y, float[1,8] z, float[2,8] c",
        "int64[1] zero = {0}; int64[1] one = {1}; int64[1] three = {3}",
    )
    workload = lower(model).workload
    reads = {
        op.name: [o.traffic_bytes for o in op.operands if o.role is Role.OTHER]
        for op in workload.ops
    }
    # fp16 rows of 8; the sum reads both slices of the one tensor.
    assert reads == {
        "Relu_0": [64],
        "Softmax_3": [32],
        "Softmax_4": [16],
        "Add_5": [48],
        "Softmax_6": [32],
    }


def test_expand_reads_the_small_source() -> None:
    model = graph(
        "e = Expand(b, shape)\ny = Add(x, e)",
        "float[4,8] x, float[1,8] b",
        "float[4,8] y",
        "int64[2] shape = {4, 8}",
    )
    (op,) = lower(model).workload.ops
    assert [o.traffic_bytes for o in op.operands] == [64, 16, 64]


def test_gather_of_one_row_is_a_slice() -> None:
    model = graph(
        "g = Gather<axis: int = 1>(x, i)\ny = MatMul(g, w)",
        "float[2,6,8] x",
        "float[2,8] y",
        "int64 i = {0}; float[8,8] w",
    )
    assert fused(model) == ["matmul: Gather MatMul"]
    (op,) = lower(model).workload.ops
    assert op.operands[0].traffic_bytes == 2 * 8 * 2
    assert fused(model, NOTHING) == ["gather: Gather", "matmul: MatMul"]


def test_float_casts_are_views_and_integer_casts_are_not() -> None:
    model = graph(
        """h = Cast<to: int = 10>(x)
        s = Softmax(h)
        y = Cast<to: int = 6>(s)""",
        "float[2,8] x",
        "int32[2,8] y",
    )
    assert fused(model) == ["softmax: Cast Softmax Cast"]
    (op,) = lower(model).workload.ops
    assert op.vector_ops == 16 * 5 + 16


def test_dequantized_weight_stays_small_in_memory() -> None:
    model = graph(
        "d = DequantizeLinear<axis: int = 1>(w, scale, point)\ny = MatMul(x, d)",
        "float[2,8] x",
        "float[2,4] y",
        "int8[8,4] w; float[4] scale; int8[4] point",
    )
    lowered = lower(model)
    check_workload(lowered)
    (op,) = lowered.workload.ops
    assert op.nodes == ("DequantizeLinear_0", "MatMul_1")
    assert op.mac_work[0].right_type == "int8"
    assert op.mac_work[0].left_type == "fp16"
    sizes = {t.name: (t.data_type, t.size_bytes) for t in lowered.workload.tensors}
    assert sizes["w"] == ("int8", 32)
    reads = [(lowered.workload.tensors[o.tensor].name, o.role, o.split_by) for o in op.operands]
    columns = (Split.COLUMNS,)
    assert reads == [
        ("x", Role.LEFT, (Split.ROWS,)),
        ("w", Role.RIGHT, columns),
        ("scale", Role.OTHER, columns),
        ("point", Role.OTHER, columns),
        ("y", Role.OUTPUT, (Split.ROWS, Split.COLUMNS)),
    ]


def test_quantized_convolution_is_one_op_on_small_types() -> None:
    model = graph(
        """dx = DequantizeLinear(x, s, p)
        dw = DequantizeLinear(w, s, p)
        c = Conv(dx, dw)
        r = Relu(c)
        y = QuantizeLinear(r, s, p)""",
        "uint8[1,4,6,6] x",
        "uint8[1,4,6,6] y",
        "uint8[4,4,1,1] w; float s = {0.1}; uint8 p = {8}",
    )
    lowered = lower(model)
    (op,) = lowered.workload.ops
    assert (op.mac_work[0].left_type, op.mac_work[0].right_type) == ("int8", "int8")
    assert op.execution_type == "int8"
    assert {t.data_type for t in lowered.workload.tensors} == {"int8"}
    assert lowered.groups[0].immediates == ("s", "p")


def test_steering_constants_need_no_memory() -> None:
    model = graph(
        """a = Clip(x, low, high)
        b = Pad(a, amounts)
        y = Mul(b, one)""",
        "float[2,8] x",
        "float[2,10] y",
        "float low = {0}; float high = {6}; int64[4] amounts = {0, 1, 0, 1}; float[1] one",
    )
    lowered = lower(model)
    assert [t.name for t in lowered.workload.tensors] == ["x", "a", "b", "y"]
    assert [group.immediates for group in lowered.groups] == [
        ("low", "high"),
        ("amounts",),
        ("one",),
    ]


def test_single_weight_of_a_product_needs_memory() -> None:
    model = graph("y = MatMul(x, w)", "float[2,1] x", "float[2,1] y", "float[1,1] w")
    lowered = lower(model)
    assert [t.name for t in lowered.workload.tensors] == ["x", "w", "y"]


def test_tied_weight_is_one_tensor_of_several_ops() -> None:
    model = graph(
        """g = Gather(table, i)
        t = Transpose<perm: ints = [1, 0]>(table)
        y = MatMul(g, t)""",
        "int64[2] i",
        "float[2,9] y",
        "float[9,8] table",
    )
    lowered = lower(model)
    check_workload(lowered)
    assert [t.name for t in lowered.workload.tensors] == ["table", "i", "g", "y"]
    gather, product = lowered.workload.ops
    assert (gather.operands[0].traffic_bytes, product.operands[1].traffic_bytes) == (32, 144)


def test_names_must_be_unique() -> None:
    model = graph("a = Relu(x)\ny = Softmax(a)", "float[2] x", "float[2] y")
    for node in model.graph:
        node.name = "same"
    with pytest.raises(InputError, match="unique name"):
        fuse(model)


def test_cycle_is_refused() -> None:
    model = graph("a = Relu(x)\nb = Sigmoid(a)\ny = Tanh(b)", "float[2] x", "float[2] y")
    nodes = list(model.graph)
    nodes[0].replace_input_with(0, nodes[1].outputs[0])
    with pytest.raises(InputError, match="cycle"):
        fuse(model)


def test_unsorted_nodes_are_put_in_order() -> None:
    model = graph("a = Relu(x)\nb = Softmax(a)\ny = Softmax(b)", "float[2,2] x", "float[2,2] y")
    first = model.graph[0]
    model.graph.remove(first)
    model.graph.append(first)
    assert fused(model) == ["elementwise: Relu", "softmax: Softmax", "softmax: Softmax"]
