"""Channels-last regions lose their transposes; nothing else changes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_ir.load import load_model
from graph_ir.passes.permutations import composed, inverse
from graph_ir.passes.pipeline import run_lossless
from graph_ir.passes.transpose_cancellation import TransposeCancellation
from tests.graph_ir.numerics import assert_equal_outputs
from tests.graph_ir.tiny_builder import TinyBuilder

LAST = [0, 2, 3, 1]
FIRST = [0, 3, 1, 2]


def cancelled(b: TinyBuilder, folder: Path, rounds: int = 1) -> list[str]:
    """Operators left after the pass, outputs compared."""
    path = folder / "source.onnx"
    onnx.save(b.build(), path)
    model = load_model(path).graph_model
    before = sum(node.op_type == "Transpose" for node in model.graph)
    gained = sum(TransposeCancellation().apply(model).changes for _ in range(rounds))
    assert_equal_outputs(b.build(), model, folder)
    left = [node.op_type for node in model.graph]
    assert left.count("Transpose") <= before - gained
    return left


def last_conv(b: TinyBuilder, x: str, inputs: int, outputs: int) -> str:
    """A convolution between the transposes of a channels-last exporter."""
    y = b.node("Conv", b.node("Transpose", x, perm=FIRST), b.weight(outputs, inputs, 1, 1))
    return b.node("Transpose", y, perm=LAST)


def test_residual_network_in_channels_last(tmp_path: Path) -> None:
    b = TinyBuilder(18)
    x = b.node("Relu", last_conv(b, b.input("image", [1, 5, 6, 3]), 3, 4))
    for _ in range(2):
        y = last_conv(b, x, 4, 4)
        y = b.node("Sub", y, b.weight(1, 1, 1, 4))
        y = b.node("Mul", b.weight(4), y)
        y = b.node("Relu", b.node("Add", y, b.weight(5, 6, 1)))
        x = b.node("Relu", b.node("Add", last_conv(b, y, 4, 4), x))
    b.node("ReduceMean", x, b.constant([1, 2], np.int64), keepdims=0, to="pooled")
    b.output("pooled", [1, 4])
    assert cancelled(b, tmp_path).count("Transpose") == 1


def test_batch_norm_of_a_channels_last_export_folds(tmp_path: Path) -> None:
    b = TinyBuilder(18)
    y = last_conv(b, b.input("image", [1, 4, 4, 3]), 3, 2)
    y = b.node("Add", b.node("Mul", y, b.positive(2)), b.weight(2))
    y = last_conv(b, b.node("Relu", y), 2, 2)
    b.node("Transpose", y, perm=FIRST, to="out")
    b.output("out", [1, 2, 4, 4])
    path = tmp_path / "source.onnx"
    onnx.save(b.build(), path)
    model = load_model(path).graph_model
    run_lossless(model)
    assert_equal_outputs(b.build(), model, tmp_path)
    assert [node.op_type for node in model.graph] == ["Transpose", "Conv", "Relu", "Conv"]


def concat_and_pad(b: TinyBuilder, x: str) -> str:
    y = b.node("Concat", x, b.node("Neg", x), b.constant(np.ones((1, 4, 4, 1))), axis=-1)
    return b.node("Pad", y, b.constant([0, 1, 0, 0, 0, 0, 2, 0], np.int64), b.constant(0.5))


def kept_reduction(b: TinyBuilder, x: str) -> str:
    return b.node("ReduceMax", x, b.constant([-1], np.int64), keepdims=1)


def scalars(b: TinyBuilder, x: str) -> str:
    y = b.node("Clip", b.node("Mul", x, b.constant(2.0)), b.constant(-1.0), b.constant(1.0))
    y = b.node("QuantizeLinear", y, b.constant(0.1), b.constant(0, np.int8))
    return b.node("DequantizeLinear", y, b.constant(0.1), b.constant(0, np.int8))


def where(b: TinyBuilder, x: str) -> str:
    return b.node("Where", b.node("Greater", x, b.constant(np.zeros((4, 1)))), x, b.weight(2))


@pytest.mark.parametrize("region", [concat_and_pad, kept_reduction, scalars, where])
def test_operators_that_carry(region: Callable[[TinyBuilder, str], str], tmp_path: Path) -> None:
    b = TinyBuilder(18)
    x = b.node("Transpose", b.input("x", [1, 2, 4, 4]), perm=LAST)
    b.node("Transpose", region(b, x), perm=FIRST, to="moved")
    b.node("Relu", "moved", to="out")
    b.output("out", None)
    source = b.build()
    b.outputs[0].CopyFrom(onnx.shape_inference.infer_shapes(source, data_prop=True).graph.output[0])
    assert "Transpose" not in cancelled(b, tmp_path)


def test_attributes_of_old_opsets(tmp_path: Path) -> None:
    b = TinyBuilder(11)
    x = b.node("Transpose", b.input("x", [1, 2, 4, 4]), perm=LAST)
    y = b.node("ReduceSum", b.node("Relu", x), axes=[1, 3], keepdims=0)
    b.node("Transpose", b.node("ReduceMean", x, axes=[-1]), perm=FIRST, to="means")
    b.node("Tanh", y, to="sums")
    b.output("means", [1, 1, 4, 4])
    b.output("sums", [1, 4])
    cancelled(b, tmp_path)


def test_reduction_that_leaves_axes_in_another_order(tmp_path: Path) -> None:
    b = TinyBuilder(18)
    x = b.node("Relu", b.node("Transpose", b.input("x", [1, 2, 4, 4]), perm=LAST))
    b.node("ReduceSum", x, b.constant([1], np.int64), keepdims=0, to="rows")
    b.node("Sigmoid", b.node("Transpose", x, perm=FIRST), to="out")
    b.output("rows", [1, 4, 2])
    b.output("out", [1, 2, 4, 4])
    assert cancelled(b, tmp_path).count("Transpose") == 1


def test_attention_heads_are_left_alone(load_tiny) -> None:
    for name in ("attention_decomposed", "bert_layer", "decoder_step", "group_conv", "lstm"):
        _, model = load_tiny(name)
        assert not TransposeCancellation().apply(model.graph_model).modified


def test_value_that_is_also_needed_permuted(tmp_path: Path) -> None:
    """One transpose is put in for the output; two go."""
    b = TinyBuilder(18)
    x = b.node("Transpose", b.input("x", [1, 2, 4, 4]), perm=LAST)
    y = b.node("Relu", x, to="features")
    for name in ("one", "two"):
        b.node("Sigmoid", b.node("Transpose", y, perm=FIRST), to=name)
        b.output(name, [1, 2, 4, 4])
    b.output("features", [1, 4, 4, 2])
    assert cancelled(b, tmp_path).count("Transpose") == 1


def test_transposes_in_a_row_become_one(tmp_path: Path) -> None:
    b = TinyBuilder(18)
    y = b.node("Transpose", b.input("x", [2, 3, 4]), perm=[1, 2, 0])
    y = b.node("Transpose", y, perm=[1, 2, 0])
    b.node("Relu", y, to="out")
    b.output("out", [4, 2, 3])
    assert cancelled(b, tmp_path) == ["Transpose", "Relu"]


def test_region_that_permutes_itself(tmp_path: Path) -> None:
    """x + x^T: the second transpose reads what the first one made."""
    b = TinyBuilder(18)
    y = b.node("Transpose", b.input("x", [3, 3]), perm=[1, 0])
    z = b.node("Transpose", b.node("Relu", y), perm=[1, 0])
    b.node("Add", z, b.node("Neg", y), to="out")
    b.output("out", [3, 3])
    cancelled(b, tmp_path, rounds=3)


@st.composite
def networks(draw: st.DrawFn) -> TinyBuilder:
    """Random mixtures of transposes of a cube with operators that carry, absorb or block them."""
    b = TinyBuilder(18, seed=draw(st.integers(0, 99)))
    values = [b.input("x", [3, 3, 3])]
    orders = st.sampled_from([[0, 2, 1], [1, 2, 0], [2, 0, 1], [2, 1, 0], [1, 0, 2]])
    for _ in range(draw(st.integers(2, 12))):
        pick = st.sampled_from(values[-4:])
        x = draw(pick)
        match draw(st.integers(0, 7)):
            case 0 | 1 | 2:
                y = b.node("Transpose", x, perm=draw(orders))
            case 3:
                y = b.node("Tanh", x)
            case 4:
                y = b.node("Add", x, draw(pick))
            case 5:
                shape = draw(st.sampled_from([(3,), (3, 1), (3, 1, 1), (1, 3, 3), ()]))
                y = b.node("Mul", b.weight(*shape) if shape else b.constant(0.5), x)
            case 6:
                axis = draw(st.integers(-3, 2))
                y = b.node("Concat", x, draw(pick), axis=axis)
                y = b.node("ReduceMean", y, b.constant([axis], np.int64), keepdims=1)
                y = b.node("Add", x, y)
            case _:
                y = b.node("Softmax", x, axis=draw(st.integers(0, 2)))
        values.append(y)
    for index, value in enumerate(values[-2:]):
        b.node("Identity", value, to=f"out{index}")
        b.output(f"out{index}", [3, 3, 3])
    b.node("ReduceSum", values[-1], b.constant([1], np.int64), keepdims=0, to="sums")
    b.output("sums", [3, 3])
    return b


@given(b=networks())
def test_random_networks(b: TinyBuilder, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "source.onnx"
    onnx.save(b.build(), path)
    model = load_model(path).graph_model
    before = sum(node.op_type == "Transpose" for node in model.graph)
    run_lossless(model)
    assert_equal_outputs(b.build(), model, folder)
    assert sum(node.op_type == "Transpose" for node in model.graph) <= before


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_permutation_algebra(first: list[int], second: list[int]) -> None:
    x = np.arange(24).reshape(1, 2, 3, 4)
    twice = x.transpose(first).transpose(second)
    np.testing.assert_array_equal(x.transpose(composed(tuple(first), tuple(second))), twice)
    np.testing.assert_array_equal(x.transpose(first).transpose(inverse(tuple(first))), x)
