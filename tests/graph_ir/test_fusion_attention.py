"""Attention and rotary embedding in decomposed form."""

import pytest

from tests.graph_ir.fusion_support import fused, graph

HEADS = "float[2,4,6,8]"
QKV = f"{HEADS} q, {HEADS} k, {HEADS} v"
SCALE = "float scale = {0.35}; float none = {0}"

PLAIN = """t = Transpose<perm: ints = [0, 1, 3, 2]>(k)
    a = MatMul(q, t)
    b = Mul(a, scale)
    c = Softmax<axis: int = -1>(b)
    y = MatMul(c, v)"""


def test_scaled_product() -> None:
    assert fused(graph(PLAIN, QKV, f"{HEADS} y", SCALE)) == [
        "attention: Transpose MatMul Mul Softmax MatMul"
    ]


def test_mask_is_an_operand() -> None:
    body = PLAIN.replace(
        "c = Softmax<axis: int = -1>(b)", "m = Add(b, mask)\nc = Softmax<axis: int = -1>(m)"
    )
    model = graph(body, f"{QKV}, float[2,1,6,6] mask", f"{HEADS} y", SCALE)
    assert fused(model) == ["attention: Transpose MatMul Mul Add Softmax MatMul"]


def test_guard_of_masked_rows_and_scales_on_both_factors() -> None:
    body = """t = Transpose<perm: ints = [0, 1, 3, 2]>(k)
        qs = Mul(q, scale)
        ks = Mul(t, scale)
        a = MatMul(qs, ks)
        c = Softmax<axis: int = -1>(a)
        n = IsNaN(c)
        g = Where(n, none, c)
        y = MatMul(g, v)"""
    assert fused(graph(body, QKV, f"{HEADS} y", SCALE)) == [
        "attention: Transpose Mul Mul MatMul Softmax IsNaN Where MatMul"
    ]


def test_decomposed_softmax_inside() -> None:
    body = PLAIN.replace(
        "c = Softmax<axis: int = -1>(b)",
        """m = ReduceMax(b, axes)
        d = Sub(b, m)
        e = Exp(d)
        s = ReduceSum(e, axes)
        c = Div(e, s)""",
    )
    model = graph(body, QKV, f"{HEADS} y", f"{SCALE}; int64[1] axes = {{-1}}")
    (only,) = fused(model)
    assert only.startswith("attention: ")


def test_repeated_heads_are_views_of_the_cache() -> None:
    body = """ku = Unsqueeze(k, two)
        ke = Expand(ku, five)
        kr = Reshape(ke, four)
        """ + PLAIN.replace("(k)", "(kr)")
    model = graph(
        body,
        f"{HEADS} q, float[2,2,6,8] k, {HEADS} v",
        f"{HEADS} y",
        f"""{SCALE}; int64[1] two = {{2}}; int64[5] five = {{2, 2, 2, 6, 8}};
        int64[4] four = {{2, 4, 6, 8}}""",
    )
    assert fused(model) == [
        "attention: Unsqueeze Expand Reshape Transpose MatMul Mul Softmax MatMul"
    ]


def test_einsum_form() -> None:
    body = """a = Einsum<equation: string = "bhid,bhjd->bhij">(q, k)
        c = Softmax<axis: int = -1>(a)
        y = Einsum<equation: string = "bhij,bhjd->bhid">(c, v)"""
    assert fused(graph(body, QKV, f"{HEADS} y")) == ["attention: Einsum Softmax Einsum"]


@pytest.mark.parametrize("escaping", ["a", "c"])
def test_scores_that_leave_the_graph_are_no_attention(escaping: str) -> None:
    model = graph(PLAIN, QKV, f"{HEADS} y, float[2,4,6,6] {escaping}", SCALE)
    assert not any(line.startswith("attention") for line in fused(model))


def test_classifier_between_two_weights_is_no_attention() -> None:
    model = graph(
        "a = MatMul(x, w)\nc = Softmax(a)\ny = MatMul(c, w)",
        "float[4,8] x",
        "float[4,8] y",
        "float[8,8] w",
    )
    assert fused(model) == ["matmul: MatMul", "softmax: Softmax", "matmul: MatMul"]


STARTS = "int64[1] zero = {0}; int64[1] half = {4}; int64[1] end = {8}; int64[1] last = {-1}"
ROTATED = """l = Slice(x, zero, half, last)
    h = Slice(x, half, end, last)
    n = Neg(h)
    r = Concat<axis: int = -1>(n, l)
    a = Mul(x, cos)
    b = Mul(r, sin)
    y = Add(a, b)"""
PAIRED = """l, h = Split<axis: int = -1, num_outputs: int = 2>(x)
    a = Mul(l, cos)
    b = Mul(h, sin)
    c = Sub(a, b)
    d = Mul(h, cos)
    e = Mul(l, sin)
    f = Add(d, e)
    y = Concat<axis: int = -1>(c, f)"""


@pytest.mark.parametrize(("body", "width"), [(ROTATED, 8), (PAIRED, 4)])
def test_rotary_embedding(body: str, width: int) -> None:
    inputs = f"{HEADS} x, float[6,{width}] cos, float[6,{width}] sin"
    (only,) = fused(graph(body, inputs, f"{HEADS} y", STARTS))
    assert only.startswith("elementwise: ")
    assert "Concat" in only


def test_rotary_embedding_reads_through_the_split_of_heads() -> None:
    body = "p = MatMul(i, w)\nx = Reshape(p, four)\n" + ROTATED
    model = graph(
        body,
        "float[2,6,32] i, float[6,8] cos, float[6,8] sin",
        f"{HEADS} y",
        f"{STARTS}; float[32,32] w; int64[4] four = {{2, 4, 6, 8}}",
    )
    matmul, rope = fused(model)
    assert matmul == "matmul: MatMul"
    assert rope.startswith("elementwise: Reshape Slice")


def test_halves_that_are_only_put_together_again_are_no_rotation() -> None:
    body = "l, h = Split<axis: int = -1, num_outputs: int = 2>(x)\ny = Concat<axis: int = -1>(h, l)"
    assert fused(graph(body, f"{HEADS} x", f"{HEADS} y")) == ["movement: Split Concat"]
