"""Normalizations and softmax in the forms that exporters write them."""

from tests.graph_ir.fusion_support import fused, graph

X = "float[2,6,8] x"
Y = "float[2,6,8] y"
CONSTANTS = """float[8] gamma; float[8] beta; float two = {2}; float eps = {0.00001};
    int64[1] axes = {-1}; float one = {1}"""

LAYER_NORM = """m = ReduceMean(x, axes)
    d = Sub(x, m)
    q = Pow(d, two)
    v = ReduceMean(q, axes)
    e = Add(v, eps)
    r = Sqrt(e)
    n = Div(d, r)
    g = Mul(n, gamma)
    y = Add(g, beta)"""
RMS_NORM = """q = Mul(x, x)
    v = ReduceMean(q, axes)
    e = Add(v, eps)
    r = Sqrt(e)
    i = Reciprocal(r)
    n = Mul(x, i)
    y = Mul(n, gamma)"""


def test_layer_norm() -> None:
    assert fused(graph(LAYER_NORM, X, Y, CONSTANTS)) == [
        "normalization: ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add"
    ]


def test_layer_norm_with_the_difference_computed_twice() -> None:
    body = LAYER_NORM.replace("n = Div(d, r)", "k = Sub(x, m)\nn = Div(k, r)")
    (only,) = fused(graph(body, X, Y, CONSTANTS))
    assert only.startswith("normalization: ReduceMean Sub Pow")


def test_layer_norm_with_the_scale_applied_to_both_parts() -> None:
    body = """m = ReduceMean(x, axes)
        d = Sub(x, m)
        q = Mul(d, d)
        v = ReduceMean(q, axes)
        e = Add(v, eps)
        r = Sqrt(e)
        i = Reciprocal(r)
        s = Mul(i, gamma)
        a = Mul(x, s)
        b = Mul(m, s)
        c = Sub(beta, b)
        y = Add(a, c)"""
    (only,) = fused(graph(body, X, Y, CONSTANTS))
    assert only.startswith("normalization: ReduceMean Sub Mul ReduceMean")


def test_rms_norm_whose_input_goes_on() -> None:
    body = RMS_NORM.replace("y = Mul(n, gamma)", "o = Mul(n, gamma)\ny = Softmax(x)")
    model = graph(body, X, f"{Y}, float[2,6,8] o", CONSTANTS)
    assert fused(model) == [
        "normalization: Mul ReduceMean Add Sqrt Reciprocal Mul Mul",
        "softmax: Softmax",
    ]


def test_variance_that_leaves_the_graph_is_no_norm() -> None:
    model = graph(LAYER_NORM, X, f"{Y}, float[2,6,1] v", CONSTANTS)
    assert not any(line.startswith("normalization") for line in fused(model))


def test_residual_add_goes_to_the_product_before_the_norm() -> None:
    body = "p = MatMul(x, w)\na = Add(p, x)\ny = LayerNormalization(a, gamma, beta)"
    assert fused(graph(body, X, Y, f"{CONSTANTS}; float[8,8] w")) == [
        "matmul: MatMul Add",
        "normalization: LayerNormalization",
    ]


def test_adds_of_embeddings_join_the_norm() -> None:
    body = """a = Gather(table, i)
        b = Gather(table, j)
        c = Add(a, b)
        d = Add(c, beta)
        y = LayerNormalization(d, gamma, beta)"""
    model = graph(body, "int64[2,6] i, int64[2,6] j", Y, f"{CONSTANTS}; float[9,8] table", opset=18)
    assert fused(model) == [
        "gather: Gather",
        "gather: Gather",
        "normalization: Add Add LayerNormalization",
    ]


def test_sum_that_is_read_again_stays_by_itself() -> None:
    body = "a = Add(x, z)\nn = LayerNormalization(a, gamma, beta)\ny = Add(n, a)"
    assert fused(graph(body, f"{X}, float[2,6,8] z", Y, CONSTANTS)) == [
        "elementwise: Add",
        "normalization: LayerNormalization Add",
    ]


def test_decomposed_softmax() -> None:
    body = """m = ReduceMax(x, axes)
        d = Sub(x, m)
        e = Exp(d)
        s = ReduceSum(e, axes)
        y = Div(e, s)"""
    assert fused(graph(body, X, Y, CONSTANTS)) == ["softmax: ReduceMax Sub Exp ReduceSum Div"]


def test_sum_of_exponentials_that_is_read_again_is_no_softmax() -> None:
    body = "e = Exp(x)\ns = ReduceSum(e, axes)\ny = Div(e, s)\nz = Log(s)"
    lines = fused(graph(body, X, f"{Y}, float[2,6,1] z", CONSTANTS))
    assert not any(line.startswith("softmax") for line in lines)


def test_decomposed_softmax_with_reshapes_and_a_bounded_peak() -> None:
    body = """m = ReduceMax<keepdims: int = 0>(x, axes)
        n = Max(m, eps)
        k = Reshape(n, column)
        d = Sub(x, k)
        e = Exp(d)
        s = ReduceSum<keepdims: int = 0>(e, axes)
        t = Reshape(s, column)
        y = Div(e, t)"""
    constants = f"{CONSTANTS}; int64[3] column = {{2, 6, 1}}"
    assert fused(graph(body, X, Y, constants)) == [
        "reduction: ReduceMax Max",
        "softmax: Reshape Sub Exp ReduceSum Reshape Div",
    ]
