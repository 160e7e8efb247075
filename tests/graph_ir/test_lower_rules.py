"""What each family's rule says of work, splits, halos, traffic and types."""

import time

import pytest

from graph_ir.errors import InputError
from graph_ir.lower import lower
from graph_ir.workload import MacWork, Op, Role, Split, TensorKind, Window, Workload
from tests.graph_ir.fusion_support import graph

ROWS, COLUMNS = (Split.ROWS,), (Split.COLUMNS,)
BOTH = (Split.ROWS, Split.COLUMNS)
NONE: tuple[Split, ...] = ()


def lowered(
    body: str, inputs: str, outputs: str, weights: str = "", execution_type: str = "fp16"
) -> Workload:
    return lower(graph(body, inputs, outputs, weights), execution_type=execution_type).workload


def only(workload: Workload) -> Op:
    (op,) = workload.ops
    return op


def splits(workload: Workload, op: Op) -> dict[str, tuple[Split, ...]]:
    return {workload.tensors[o.tensor].name: o.split_by for o in op.operands}


def test_convolution() -> None:
    workload = lowered(
        """a = Conv<pads: ints = [1, 1, 1, 1], strides: ints = [2, 2]>(x, w, bias)
        b = Add(a, residual)
        y = Relu(b)""",
        "float[2,8,10,12] x, float[2,16,5,6] residual",
        "float[2,16,5,6] y",
        "float[16,8,3,3] w; float[16] bias",
    )
    op = only(workload)
    window = Window((10, 12), (3, 3), (2, 2), (1, 1), (5, 6))
    assert op.mac_work == (MacWork(1, 2 * 5 * 6, 8 * 9, 16, kernel_positions=9, window=window),)
    assert (op.rows, op.columns, op.layout) == (60, 16, "mac")
    assert op.vector_ops == 3 * 2 * 16 * 5 * 6
    assert splits(workload, op) == {
        "x": ROWS,
        "w": COLUMNS,
        "bias": COLUMNS,
        "residual": BOTH,
        "y": BOTH,
    }
    roles = [o.role for o in op.operands]
    assert roles == [Role.LEFT, Role.RIGHT, Role.OTHER, Role.OTHER, Role.OUTPUT]
    # A window of 3 rows that moves by 2: one line of 8 channels by 12 in fp16 is shared.
    assert [o.halo_bytes for o in op.operands] == [8 * 12 * 2, 0, 0, 0, 0]
    assert [workload.tensors[o.tensor].channels for o in op.operands] == [8, 0, 0, 16, 16]


@pytest.mark.parametrize(
    ("attributes", "weight", "halo_lines"),
    [
        ("dilations: ints = [2, 2]", "3,3", 4),
        ("strides: ints = [3, 3]", "3,3", 0),
        ("strides: ints = [2, 2]", "1,1", 0),
        ("pads: ints = [0, 0, 0, 0]", "5,1", 4),
    ],
)
def test_halo(attributes: str, weight: str, halo_lines: int) -> None:
    model = graph(
        f"y = Conv<{attributes}>(x, w)",
        "float[1,4,12,12] x",
        "float[1,4,H,W] y",
        f"float[4,4,{weight}] w",
    )
    op = only(lower(model).workload)
    assert op.operands[0].halo_bytes == halo_lines * 4 * 12 * 2


@pytest.mark.parametrize(
    ("attributes", "weight", "halo_lines"),
    [
        ("strides: ints = [2, 2]", "2,2", 0),
        ("strides: ints = [2, 2]", "4,4", 1),
        ("strides: ints = [2, 2]", "5,5", 2),
        ("strides: ints = [1, 1]", "3,3", 2),
    ],
)
def test_halo_of_a_transposed_convolution(attributes: str, weight: str, halo_lines: int) -> None:
    """Output row i is a sum over the input rows j with 0 <= i - j * stride < kernel."""
    model = graph(
        f"y = ConvTranspose<{attributes}>(x, w)",
        "float[1,4,12,12] x",
        "float[1,4,H,W] y",
        f"float[4,4,{weight}] w",
    )
    op = only(lower(model).workload)
    assert op.operands[0].halo_bytes == halo_lines * 4 * 12 * 2


def test_depthwise_convolution_splits_its_input_by_channel() -> None:
    workload = lowered(
        "y = Conv<group: int = 8, pads: ints = [1, 1, 1, 1]>(x, w)",
        "float[1,8,6,6] x",
        "float[1,8,6,6] y",
        "float[8,1,3,3] w",
    )
    op = only(workload)
    window = Window((6, 6), (3, 3), (1, 1), (1, 1), (6, 6))
    assert op.mac_work == (MacWork(8, 36, 9, 1, kernel_positions=9, depthwise=True, window=window),)
    assert op.columns == 8
    assert splits(workload, op) == {"x": BOTH, "w": COLUMNS, "y": BOTH}


def test_grouped_convolution_is_not_depthwise() -> None:
    workload = lowered(
        "y = Conv<group: int = 2>(x, w)", "float[1,8,6,6] x", "float[1,4,6,6] y", "float[4,4,1,1] w"
    )
    op = only(workload)
    window = Window((6, 6), (1, 1), (1, 1), (1, 1), (6, 6))
    assert op.mac_work == (MacWork(2, 36, 4, 2, window=window),)
    assert splits(workload, op)["x"] == ROWS


def test_transposed_convolution_counts_input_pixels() -> None:
    workload = lowered(
        "y = ConvTranspose<strides: ints = [2, 2]>(x, w)",
        "float[1,8,5,5] x",
        "float[1,3,10,10] y",
        "float[8,3,2,2] w",
    )
    op = only(workload)
    assert op.mac_work == (MacWork(1, 25, 8, 12),)
    assert (op.rows, op.columns) == (100, 3)


def test_matrix_product_with_a_weight_folds_the_batch_into_rows() -> None:
    workload = lowered(
        "a = MatMul(x, w)\ny = Add(a, bias)",
        "float[2,6,8] x",
        "float[2,6,5] y",
        "float[8,5] w; float[5] bias",
    )
    op = only(workload)
    assert op.mac_work == (MacWork(1, 12, 8, 5),)
    assert (op.rows, op.columns) == (12, 5)
    assert splits(workload, op) == {"x": ROWS, "w": COLUMNS, "bias": COLUMNS, "y": BOTH}


def test_product_of_activations_is_split_by_head() -> None:
    workload = lowered(
        "y = MatMul(p, q)",
        "float[2,4,6,8] p, float[2,4,8,5] q",
        "float[2,4,6,5] y",
    )
    op = only(workload)
    assert op.mac_work == (MacWork(8, 6, 8, 5),)
    assert (op.rows, op.columns) == (6, 8)
    assert splits(workload, op) == {"p": BOTH, "q": COLUMNS, "y": BOTH}


def test_one_row_is_not_split() -> None:
    workload = lowered("y = MatMul(x, w)", "float[1,8] x", "float[1,5] y", "float[8,5] w")
    assert splits(workload, only(workload)) == {"x": NONE, "w": COLUMNS, "y": COLUMNS}


def test_attention() -> None:
    workload = lowered(
        """t = Transpose<perm: ints = [0, 1, 3, 2]>(k)
        a = MatMul(q, t)
        m = Add(a, mask)
        s = Softmax<axis: int = -1>(m)
        y = MatMul(s, v)""",
        "float[2,4,50,8] q, float[2,4,70,8] k, float[2,4,70,16] v, float[2,1,50,70] mask",
        "float[2,4,50,16] y",
    )
    op = only(workload)
    assert op.mac_work == (MacWork(8, 50, 8, 70), MacWork(8, 50, 70, 16))
    assert (op.rows, op.columns) == (50, 8)
    assert op.vector_ops == 8 * 50 * 70 * (1 + 5)
    roles = {workload.tensors[o.tensor].name: o.role for o in op.operands}
    scratch = "MatMul_4:scratch"
    assert roles == {
        "q": Role.LEFT,
        "k": Role.RIGHT,
        "v": Role.RIGHT,
        "mask": Role.OTHER,
        scratch: Role.SCRATCH,
        "y": Role.OUTPUT,
    }
    assert splits(workload, op) == {
        "q": BOTH,
        "k": COLUMNS,
        "v": COLUMNS,
        "mask": ROWS,
        scratch: BOTH,
        "y": BOTH,
    }
    tile = next(t for t in workload.tensors if t.kind is TensorKind.SCRATCH)
    assert (tile.size_bytes, tile.start, tile.end) == (32 * 70 * 8 * 4, 0, 1)


def test_single_repeated_head_cannot_be_split_by_head() -> None:
    workload = lowered(
        """e = Expand(k, shape)
        t = Transpose<perm: ints = [0, 1, 3, 2]>(e)
        a = MatMul(q, t)
        s = Softmax<axis: int = -1>(a)
        y = MatMul(s, v)""",
        "float[1,4,5,8] q, float[1,1,7,8] k, float[1,4,7,8] v",
        "float[1,4,5,8] y",
        "int64[4] shape = {1, 4, 7, 8}",
    )
    found = splits(workload, only(workload))
    assert (found["k"], found["v"]) == (NONE, COLUMNS)


def test_broadcast_operands_of_elementwise_ops() -> None:
    workload = lowered(
        "a = Mul(x, gate)\nb = Add(a, line)\ny = Add(b, position)",
        "float[2,4,6,8] x, float[2,4,1,1] gate, float[8] line, float[2,1,6,8] position",
        "float[2,4,6,8] y",
    )
    assert splits(workload, only(workload)) == {
        "x": BOTH,
        "gate": COLUMNS,
        "line": NONE,
        "position": ROWS,
        "y": BOTH,
    }


def test_softmax_and_norm_keep_their_axis_whole() -> None:
    workload = lowered(
        "a = Softmax<axis: int = -1>(x)\ny = LayerNormalization(a, g, b)",
        "float[2,6,8] x",
        "float[2,6,8] y",
        "float[8] g; float[8] b",
    )
    softmax, norm = workload.ops
    assert (softmax.rows, softmax.columns, softmax.vector_ops) == (12, 1, 5 * 96)
    assert (norm.rows, norm.columns, norm.vector_ops) == (12, 1, 8 * 96)
    assert splits(workload, softmax) == {"x": ROWS, "a": ROWS}
    assert splits(workload, norm) == {"a": ROWS, "g": NONE, "b": NONE, "y": ROWS}


def test_softmax_over_channels_of_an_image() -> None:
    op = only(lowered("y = Softmax<axis: int = 1>(x)", "float[1,4,6,8] x", "float[1,4,6,8] y"))
    assert (op.rows, op.columns) == (48, 1)


def test_instance_norm_is_split_by_channel() -> None:
    workload = lowered(
        "y = InstanceNormalization(x, g, b)",
        "float[1,4,6,8] x",
        "float[1,4,6,8] y",
        "float[4] g; float[4] b",
    )
    assert splits(workload, only(workload)) == dict.fromkeys("xgby", COLUMNS)


def test_pooling() -> None:
    workload = lowered(
        "y = MaxPool<kernel_shape: ints = [3, 3], strides: ints = [2, 2]>(x)",
        "float[1,4,9,9] x",
        "float[1,4,4,4] y",
    )
    op = only(workload)
    assert (op.rows, op.columns, op.vector_ops) == (16, 4, 9 * 64)
    assert splits(workload, op) == {"x": BOTH, "y": BOTH}
    assert op.operands[0].halo_bytes == 4 * 9 * 2


def test_global_pooling_is_split_by_channel() -> None:
    workload = lowered("y = GlobalAveragePool(x)", "float[1,4,6,8] x", "float[1,4,1,1] y")
    op = only(workload)
    assert (op.rows, op.columns, op.vector_ops) == (1, 4, 4 * 48)
    assert splits(workload, op) == {"x": COLUMNS, "y": COLUMNS}


def test_gather_touches_only_the_rows_that_it_picks() -> None:
    workload = lowered(
        "y = Gather(table, i)", "int64[1,3] i", "float[1,3,8] y", "float[100,8] table"
    )
    op = only(workload)
    assert [o.traffic_bytes for o in op.operands] == [3 * 8 * 2, 3 * 4, 3 * 8 * 2]
    assert splits(workload, op) == {"table": COLUMNS, "i": ROWS, "y": BOTH}
    assert workload.tensors[op.operands[0].tensor].size_bytes == 100 * 8 * 2


def test_concat_moves_everything_once() -> None:
    workload = lowered(
        "y = Concat<axis: int = 1>(p, q)",
        "float[1,4,6,8] p, float[1,2,6,8] q",
        "float[1,6,6,8] y",
    )
    op = only(workload)
    assert op.vector_ops == 0
    assert [o.traffic_bytes for o in op.operands] == [384, 192, 576]


def test_lifetimes() -> None:
    workload = lowered(
        """a = Softmax(x)
        b = LogSoftmax(a)
        t = Transpose<perm: ints = [1, 0]>(a)
        c = MatMul(b, t)
        y = Softmax(c)
        z = MatMul(b, w)""",
        "float[4,8] x, float[4,4] unused",
        "float[4,4] y, float[4,5] z",
        "float[8,5] w",
    )
    found = {t.name: (t.kind, t.start, t.end) for t in workload.tensors}
    assert found == {
        "x": (TensorKind.IO, 0, 1),
        "a": (TensorKind.ACTIVATION, 0, 3),
        "b": (TensorKind.ACTIVATION, 1, 5),
        "c": (TensorKind.ACTIVATION, 2, 4),
        "y": (TensorKind.IO, 3, 5),
        "w": (TensorKind.WEIGHT, 0, 5),
        "z": (TensorKind.IO, 4, 5),
    }


@pytest.mark.parametrize(
    ("execution_type", "size"), [("fp32", 64), ("bf16", 32), ("int8", 16), ("int4", 8)]
)
def test_floats_take_the_execution_type(execution_type: str, size: int) -> None:
    workload = lowered(
        "h = Cast<to: int = 10>(x)\ny = Softmax(h)",
        "double[2,8] x",
        "float16[2,8] y",
        execution_type=execution_type,
    )
    assert {(t.data_type, t.size_bytes) for t in workload.tensors} == {(execution_type, size)}
    assert only(workload).execution_type == execution_type


def test_unknown_execution_type_is_refused() -> None:
    with pytest.raises(InputError, match=r"execution type: expected one of .*, got 'fp12'"):
        lowered("y = Relu(x)", "float[2] x", "float[2] y", execution_type="fp12")


def test_indices_take_four_bytes_unless_they_need_more() -> None:
    workload = lowered(
        "a = Add(i, small)\ny = Add(a, large)",
        "int64[2] i",
        "int64[2] y",
        "int64[2] small = {1, -2147483648}; int64[2] large = {1, 2147483648}",
    )
    types = {t.name: (t.data_type, t.size_bytes) for t in workload.tensors}
    assert types == {
        "i": ("int32", 8),
        "small": ("int32", 8),
        "large": ("int64", 16),
        "y": ("int32", 8),
    }


def test_strings_are_refused() -> None:
    with pytest.raises(InputError, match="value s: expected a numeric element type, got STRING"):
        lowered("y = Gather(s, i)", "string[4] s, int64[2] i", "string[2] y")


@pytest.mark.parametrize(
    ("equation", "left", "right", "result", "work"),
    [
        ("bhid,bhjd->bhij", "2,4,6,8", "2,4,5,8", "2,4,6,5", MacWork(8, 6, 8, 5)),
        ("ij,jk", "6,8", "8,5", "6,5", MacWork(1, 6, 8, 5)),
        ("...ij,jk->...ik", "3,6,8", "8,5", "3,6,5", MacWork(1, 18, 8, 5)),
        ("bchw,bkc->bkhw", "2,8,3,3", "2,5,8", "2,5,3,3", MacWork(2, 9, 8, 5)),
    ],
)
def test_einsum(equation: str, left: str, right: str, result: str, work: MacWork) -> None:
    workload = lowered(
        f'y = Einsum<equation: string = "{equation}">(p, q)',
        f"float[{left}] p, float[{right}] q",
        f"float[{result}] y",
    )
    assert only(workload).mac_work == (work,)


@pytest.mark.parametrize(
    ("equation", "inputs"),
    [("ii,ij->j", "float[4,4] p, float[4,4] q"), ("ij,jk,kl->il", "float[4,4] p, float[4,4] q")],
)
def test_einsum_that_is_no_product_is_refused(equation: str, inputs: str) -> None:
    operands = "p, q, q" if equation.count(",") == 2 else "p, q"
    with pytest.raises(InputError, match=r"no lowering rule for op Einsum \(node Einsum_0\)"):
        lowered(
            f'y = Einsum<equation: string = "{equation}">({operands})',
            inputs,
            "float[X] y" if equation[-1] == "j" else "float[X,Y] y",
        )


def test_recurrent_layer() -> None:
    workload = lowered(
        "y, h, c = LSTM<hidden_size: int = 4>(x, w, r)",
        "float[7,2,3] x",
        "float[7,1,2,4] y",
        "float[1,16,3] w; float[1,16,4] r",
    )
    op = only(workload)
    assert op.mac_work == (MacWork(1, 14, 3, 16), MacWork(7, 2, 4, 16))
    assert op.vector_ops == 14 * 4 * 24
    scratch = next(t for t in workload.tensors if t.kind is TensorKind.SCRATCH)
    assert scratch.size_bytes == 2 * 2 * 4 * 4


def test_lowering_takes_time_in_proportion_to_the_graph() -> None:
    def seconds(count: int) -> float:
        lines = ["v0 = Softmax(x)"]
        for at in range(1, count):
            skip = f"v{at // 2}"
            lines.append(
                f"v{at} = MatMul(v{at - 1}, w)" if at % 3 else f"v{at} = Add(v{at - 1}, {skip})"
            )
        model = graph("\n".join(lines), "float[4,4] x", f"float[4,4] v{count - 1}", "float[4,4] w")
        began = time.process_time()
        lower(model)
        return time.process_time() - began

    assert seconds(4000) < 12 * max(seconds(1000), 0.02)


def test_quantized_concat_keeps_small_types() -> None:
    workload = lowered(
        """a = DequantizeLinear(p, s, z)
        b = DequantizeLinear(q, s, z)
        c = Concat<axis: int = 1>(a, b)
        y = QuantizeLinear(c, s, z)""",
        "uint8[1,4] p, uint8[1,2] q",
        "uint8[1,6] y",
        "float s = {0.1}; uint8 z = {8}",
    )
    assert [op.family for op in workload.ops] == ["movement"]
    assert {t.data_type for t in workload.tensors} == {"int8"}


def test_contrib_op_of_wrong_rank_is_refused() -> None:
    model = graph(
        "y = com.microsoft.MultiHeadAttention<num_heads: int = 2>(x, x, x)",
        "float[8] x",
        "float[8] y",
    )
    with pytest.raises(InputError, match=r"node MultiHeadAttention_0 \(.*\): expected operands"):
        lower(model)


def test_scratch_never_shares_a_name() -> None:
    model = graph(
        "y = Attention(q, k, v)",
        "float[1,2,3,4] q, float[1,2,3,4] k, float[1,2,3,4] v",
        "float[1,2,3,4] y",
        opset=23,
    )
    model.graph.inputs[0].name = "Attention_0:scratch"
    names = [t.name for t in lower(model).workload.tensors]
    assert names == ["Attention_0:scratch", "k", "v", "Attention_0:scratch_", "y"]
