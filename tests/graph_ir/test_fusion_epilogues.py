"""Which nodes join the op before them, and which must not."""

import pytest

from tests.graph_ir.fusion_support import fused, graph

CONV = "float[4,4,1,1] w"
IMAGE = "float[1,4,6,6]"


def test_bias_activation_and_residual_add() -> None:
    model = graph(
        """a = Conv(x, w)
        b = Add(a, bias)
        c = Add(b, x)
        y = Relu(c)""",
        f"{IMAGE} x",
        f"{IMAGE} y",
        f"{CONV}; float[4,1,1] bias",
    )
    assert fused(model) == ["conv: Conv Add Add Relu"]


def test_second_reader_keeps_the_result_in_memory() -> None:
    model = graph(
        "a = Conv(x, w)\nb = Relu(a)\ns = Softmax(b)\ny = Add(a, s)",
        f"{IMAGE} x",
        f"{IMAGE} y",
        CONV,
    )
    assert fused(model) == ["conv: Conv", "elementwise: Relu", "softmax: Softmax Add"]


def test_graph_output_between_is_not_fused_over() -> None:
    model = graph("a = Conv(x, w)\ny = Relu(a)", f"{IMAGE} x", f"{IMAGE} a, {IMAGE} y", CONV)
    assert fused(model) == ["conv: Conv", "elementwise: Relu"]


def test_the_product_that_runs_last_takes_the_add() -> None:
    model = graph(
        """a = Conv(x, w)
        b = Conv(x, v)
        c = Add(a, b)
        y = Relu(c)""",
        f"{IMAGE} x",
        f"{IMAGE} y",
        f"{CONV}; float[4,4,1,1] v",
    )
    assert fused(model) == ["conv: Conv", "conv: Conv Add Relu"]


def test_gate_does_not_take_the_product_that_it_scales() -> None:
    model = graph(
        """h = Conv(x, w)
        p = GlobalAveragePool(h)
        g = Conv(p, v)
        s = Sigmoid(g)
        y = Mul(h, s)""",
        f"{IMAGE} x",
        f"{IMAGE} y",
        f"{CONV}; float[4,4,1,1] v",
    )
    assert fused(model) == [
        "conv: Conv",
        "reduction: GlobalAveragePool",
        "conv: Conv Sigmoid",
        "elementwise: Mul",
    ]


ACTIVATIONS = {
    "silu": "s = Sigmoid(a)\ny = Mul(a, s)",
    "hard swish": "s = Add(a, three)\nt = Clip(s, zero, six)\nu = Div(t, six)\ny = Mul(a, u)",
    "mish": "s = Softplus(a)\nt = Tanh(s)\ny = Mul(a, t)",
    "gelu, erf": """d = Div(a, six)
        e = Erf(d)
        f = Add(e, zero)
        g = Mul(a, f)
        y = Mul(g, three)""",
    "gelu, tanh": """d = Pow(a, three)
        e = Mul(d, six)
        f = Add(a, e)
        g = Mul(f, six)
        h = Tanh(g)
        i = Add(h, six)
        j = Mul(a, three)
        y = Mul(j, i)""",
    "prelu": "y = PRelu(a, slope)",
    "quantized": "q = QuantizeLinear(a, six, point)\ny = DequantizeLinear(q, six, point)",
}
SCALARS = "float three = {3}; float zero = {0}; float six = {6}; float[4,1,1] slope"


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_in_many_nodes(name: str) -> None:
    model = graph(
        f"a = Conv(x, w)\n{ACTIVATIONS[name]}",
        f"{IMAGE} x",
        f"{IMAGE} y",
        f"{CONV}; {SCALARS}; uint8 point = {{3}}",
    )
    (only,) = fused(model)
    assert only.startswith("conv: Conv ")


@pytest.mark.parametrize("name", ["silu", "gelu, erf", "gelu, tanh"])
def test_activation_by_itself_is_one_op(name: str) -> None:
    body = ACTIVATIONS[name].replace("(a", "(x").replace(", a)", ", x)")
    model = graph(body, f"{IMAGE} x", f"{IMAGE} y", SCALARS)
    (only,) = fused(model)
    assert only.startswith("elementwise: ")


@pytest.mark.parametrize("late_gate", [False, True])
def test_gated_feed_forward(late_gate: bool) -> None:
    gate = "g = MatMul(x, w)\n"
    silu = "s = Sigmoid(g)\nt = Mul(g, s)\n"
    up = "u = MatMul(x, v)\n"
    body = gate + (up + silu if late_gate else silu + up) + "y = Mul(t, u)"
    model = graph(body, "float[2,4] x", "float[2,4] y", "float[4,4] w; float[4,4] v")
    assert fused(model) == ["matmul: MatMul Sigmoid Mul", "matmul: MatMul Mul"]


def test_reshape_between_product_and_bias() -> None:
    model = graph(
        """a = MatMul(x, w)
        b = Reshape(a, shape)
        y = Add(b, bias)""",
        "float[2,3,4] x",
        "float[6,4] y",
        "float[4,4] w; float[4] bias; int64[2] shape = {6, 4}",
    )
    assert fused(model) == ["matmul: MatMul Reshape Add"]


def test_scalar_arithmetic_beside_the_epilogue_joins() -> None:
    model = graph(
        """q, s, z = DynamicQuantizeLinear(x)
        a = MatMulInteger(q, w, z)
        b = Cast<to: int = 1>(a)
        t = Mul(s, scale)
        c = Mul(b, t)
        y = Add(c, bias)""",
        "float[2,4] x",
        "float[2,4] y",
        "uint8[4,4] w; float[4] bias; float scale = {2}",
    )
    assert fused(model) == [
        "quantization: DynamicQuantizeLinear",
        "matmul: MatMulInteger Cast Mul Mul Add",
    ]


def test_elementwise_diamond_with_two_heads_is_one_op() -> None:
    model = graph(
        "a = Sigmoid(x)\nb = Tanh(z)\nc = Mul(a, b)\ny = Relu(c)",
        "float[2,4] x, float[2,4] z",
        "float[2,4] y",
    )
    assert fused(model) == ["elementwise: Sigmoid Tanh Mul Relu"]
