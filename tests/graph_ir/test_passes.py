"""What each lossless pass changes, and what it must leave alone."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from graph_ir.load import load_model
from graph_ir.passes import Pass
from graph_ir.passes.batch_norm_into_convolution import BatchNormIntoConvolution
from graph_ir.passes.common_subexpression import CommonSubexpression
from graph_ir.passes.constant_folding import ConstantFolding
from graph_ir.passes.dead_code import DeadCode
from graph_ir.passes.identity_elimination import IdentityElimination
from graph_ir.passes.pipeline import run_lossless
from tests.graph_ir.numerics import (
    assert_equal_outputs,
    assert_valid,
    open_session,
    outputs_of,
    seeded_inputs,
)
from tests.graph_ir.tiny_builder import TinyBuilder
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS


@pytest.fixture
def apply(tmp_path: Path) -> Callable[..., list[str]]:
    """Applies one pass (or all) to a model, compares outputs, returns the operators left."""

    def run(made: TinyBuilder | str, step: Pass | None) -> list[str]:
        proto = TINY_MODELS[made]() if isinstance(made, str) else made.build()
        dims = TINY_DIMS.get(made, {}) if isinstance(made, str) else {}
        path = tmp_path / "source.onnx"
        onnx.save(proto, path)
        model = load_model(path, dims).graph_model
        before = len(model.graph)
        if step is None:
            run_lossless(model)
        else:
            result = step.apply(model)
            assert result.modified == bool(result.details)
            assert result.modified or len(model.graph) == before
        assert_equal_outputs(proto, model, tmp_path, dims)
        return [node.op_type for node in model.graph]

    return run


class TestBatchNorm:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("conv_bn_relu_residual", ["Conv", "Relu", "Conv", "Add", "Relu"]),
            ("conv_transpose_bn", ["ConvTranspose", "Relu", "ConvTranspose", "Sigmoid"]),
            ("gemm_batch_norm", ["Gemm", "Tanh", "Gemm", "LeakyRelu"]),
            (
                "conv_scale_shift",
                ["Conv", "Relu", "Div", "GlobalMaxPool", "Flatten", "MatMul", "Add"],
            ),
        ],
    )
    def test_folds(self, name: str, expected: list[str], apply) -> None:
        assert apply(name, BatchNormIntoConvolution()) == expected

    def test_two_readers_of_the_convolution(self, apply) -> None:
        b = TinyBuilder(18)
        y = b.node("Conv", b.input("x", [1, 2, 4, 4]), b.weight(3, 2, 1, 1))
        b.node("Add", b.batch_norm(y, 3), y, to="out")
        b.output("out", [1, 3, 4, 4])
        step = BatchNormIntoConvolution()
        assert apply(b, step) == ["Conv", "BatchNormalization", "Add"]

    def test_convolution_that_is_an_output(self, apply) -> None:
        b = TinyBuilder(18)
        y = b.node("Conv", b.input("x", [1, 2, 4, 4]), b.weight(3, 2, 1, 1), to="y")
        b.node("Relu", b.batch_norm(y, 3), to="out")
        b.output("out", [1, 3, 4, 4])
        b.output("y", [1, 3, 4, 4])
        assert "BatchNormalization" in apply(b, BatchNormIntoConvolution())

    def test_weight_shared_by_two_convolutions(self, apply) -> None:
        """Each gets a weight of its own, scaled by its own batch norm."""
        b = TinyBuilder(18)
        x = b.input("x", [1, 3, 4, 4])
        weight = b.weight(3, 3, 1, 1, name="shared")
        y = b.batch_norm(b.node("Conv", x, weight), 3)
        y = b.batch_norm(b.node("Conv", y, weight), 3)
        b.node("Conv", y, weight, to="out")
        b.output("out", [1, 3, 4, 4])
        assert apply(b, BatchNormIntoConvolution()) == ["Conv", "Conv", "Conv"]

    def test_computed_weight(self, apply) -> None:
        b = TinyBuilder(18)
        x, w = b.input("x", [1, 2, 4, 4]), b.input("w", [3, 2, 1, 1])
        b.node("Relu", b.batch_norm(b.node("Conv", x, w), 3), to="out")
        b.output("out", [1, 3, 4, 4])
        assert "BatchNormalization" in apply(b, BatchNormIntoConvolution())

    @pytest.mark.parametrize("shape", [(1, 1, 4, 4), (4, 4), (1, 1, 1, 4), (4, 4, 1), (4,)])
    def test_add_along_other_axes(self, shape: tuple[int, ...], apply) -> None:
        b = TinyBuilder(18)
        y = b.node("Conv", b.input("x", [1, 2, 4, 4]), b.weight(4, 2, 1, 1))
        b.node("Add", y, b.weight(*shape), to="out")
        b.output("out", [1, 4, 4, 4])
        assert apply(b, BatchNormIntoConvolution()) == ["Conv", "Add"]

    def test_add_that_broadcasts_the_convolution(self, apply) -> None:
        b = TinyBuilder(18)
        y = b.node("Conv", b.input("x", [1, 2, 4, 4]), b.weight(1, 2, 1, 1))
        b.node("Add", y, b.weight(3, 1, 1), to="out")
        b.output("out", [1, 3, 4, 4])
        assert apply(b, BatchNormIntoConvolution()) == ["Conv", "Add"]

    def test_one_factor_for_the_whole_tensor_is_an_epilogue(self, apply) -> None:
        b = TinyBuilder(18)
        y = b.node("Conv", b.input("x", [1, 2, 4, 4]), b.weight(3, 2, 1, 1))
        b.node("Mul", y, b.constant([0.3]), to="out")
        b.output("out", [1, 3, 4, 4])
        assert apply(b, BatchNormIntoConvolution()) == ["Conv", "Mul"]

    def test_scale_adds_no_bias(self, load_tiny, tmp_path: Path) -> None:
        b = TinyBuilder(18)
        y = b.node("Conv", b.input("x", [1, 2, 4, 4]), b.weight(3, 2, 1, 1))
        b.node("Mul", y, b.positive(3, 1, 1), to="out")
        b.output("out", [1, 3, 4, 4])
        path = tmp_path / "m.onnx"
        onnx.save(b.build(), path)
        model = load_model(path).graph_model
        BatchNormIntoConvolution().apply(model)
        assert [len(node.inputs) for node in model.graph] == [2]

    def test_refused_gemm_is_left_as_it_was(self, tmp_path: Path) -> None:
        """A scale that overflows must not leave half of the rewrite behind."""
        b = TinyBuilder(18)
        y = b.node("Gemm", b.input("x", [2, 3]), b.weight(3, 2, scale=1e5), b.weight(2), beta=2.0)
        b.node("Mul", y, b.constant([1.0, 1e38]), to="out")
        b.output("out", [2, 2])
        path = tmp_path / "m.onnx"
        onnx.save(b.build(), path)
        model = load_model(path).graph_model
        assert not BatchNormIntoConvolution().apply(model).modified
        assert next(iter(model.graph)).attributes["beta"].as_float() == 2.0

    def test_same_weights_as_onnxruntime(self, load_tiny, tmp_path: Path) -> None:
        """Optimizing the folded model gives the bits that optimizing the source gives."""
        source, model = load_tiny("resnet_bottleneck")
        reference = open_session(source, optimize=True)
        feeds = seeded_inputs(reference)
        BatchNormIntoConvolution().apply(model.graph_model)
        folded = open_session(assert_valid(model.graph_model, tmp_path), optimize=True)
        np.testing.assert_array_equal(
            outputs_of(folded, feeds)["logits"], outputs_of(reference, feeds)["logits"]
        )

    def test_constant_minus_convolution(self, apply) -> None:
        b = TinyBuilder(18)
        y = b.node("Conv", b.input("x", [1, 2, 4, 4]), b.weight(3, 2, 1, 1))
        b.node("Sub", b.weight(3, 1, 1), y, to="out")
        b.output("out", [1, 3, 4, 4])
        assert apply(b, BatchNormIntoConvolution()) == ["Conv", "Sub"]

    def test_infinite_scale(self, tmp_path: Path) -> None:
        b = TinyBuilder(18)
        y = b.node("Conv", b.input("x", [1, 2, 4, 4]), b.weight(3, 2, 1, 1))
        b.node("Div", y, b.constant([[[1.0]], [[0.0]], [[2.0]]]), to="out")
        b.output("out", [1, 3, 4, 4])
        path = tmp_path / "m.onnx"
        onnx.save(b.build(), path)
        model = load_model(path).graph_model
        assert not BatchNormIntoConvolution().apply(model).modified

    def test_training_mode(self, tmp_path: Path) -> None:
        b = TinyBuilder(15)
        y = b.node("Conv", b.input("x", [1, 2, 4, 4]), b.weight(3, 2, 1, 1))
        operands = [b.positive(3), b.weight(3), b.weight(3), b.positive(3)]
        b.nodes_of(
            "BatchNormalization", [y, *operands], ["out", "mean", "variance"], training_mode=1
        )
        b.output("out", [1, 3, 4, 4])
        path = tmp_path / "m.onnx"
        onnx.save(b.build(), path)
        model = load_model(path).graph_model
        assert not BatchNormIntoConvolution().apply(model).modified

    def test_chain_of_norms_and_scales(self, apply) -> None:
        """Batch norm, then the scale layer of Caffe, before and after an activation."""
        b = TinyBuilder(18)
        x = b.input("x", [1, 3, 4, 4])
        y = b.node("Relu", b.node("Add", b.batch_norm(x, 3), b.weight(3, 1, 1)))
        y = b.node(
            "Mul", b.batch_norm(b.node("Conv", y, b.weight(2, 3, 1, 1)), 2), b.weight(2, 1, 1)
        )
        b.node("Sub", y, b.weight(2, 1, 1), to="out")
        b.output("out", [1, 2, 4, 4])
        expected = ["BatchNormalization", "Relu", "Conv"]
        assert apply(b, BatchNormIntoConvolution()) == expected

    def test_weight_keeps_its_name(self, load_tiny) -> None:
        _, model = load_tiny("conv_bn_relu_residual")
        graph = model.graph_model.graph
        before = [node.inputs[1].name for node in graph if node.op_type == "Conv"]
        BatchNormIntoConvolution().apply(model.graph_model)
        assert [node.inputs[1].name for node in graph if node.op_type == "Conv"] == before


class TestIdentity:
    def test_all_no_ops_go(self, apply) -> None:
        assert apply("no_op_clutter", None) == ["Relu"]

    def test_outputs_that_are_inputs_keep_their_copy(self, apply) -> None:
        assert apply("pass_through", IdentityElimination()) == ["Relu", "Identity", "Identity"]

    @pytest.mark.parametrize("training", [True, False])
    def test_dropout_in_training_stays(self, training: bool, tmp_path: Path) -> None:
        b = TinyBuilder(18)
        y = b.node("Dropout", b.input("x", [2, 3]), b.constant(0.5), b.constant(training, np.bool_))
        b.node("Relu", y, to="out")
        b.output("out", [2, 3])
        path = tmp_path / "m.onnx"
        onnx.save(b.build(), path)
        model = load_model(path).graph_model
        assert IdentityElimination().apply(model).modified != training

    def test_dropout_whose_mask_is_read_stays(self, apply) -> None:
        b = TinyBuilder(18)
        y, mask = b.nodes_of("Dropout", [b.input("x", [2, 3])], 2)
        b.node("Where", mask, y, b.node("Neg", y), to="out")
        b.output("out", [2, 3])
        assert apply(b, IdentityElimination()) == ["Dropout", "Neg", "Where"]

    def test_same_shape_but_not_the_same_values(self, apply) -> None:
        """Square transpose, reversing slice, shifting pad, rounding cast: all must stay."""
        b = TinyBuilder(18)
        x = b.input("x", [4, 4])
        y = b.node("Transpose", x, perm=[1, 0])
        ends = [b.constant([value], np.int64) for value in (-1, -9, 0, -1)]
        y = b.node("Slice", y, *ends)
        y = b.node("Pad", y, b.constant([1, 0, -1, 0], np.int64))
        y = b.cast(b.cast(y, TensorProto.INT32), TensorProto.FLOAT)
        b.node("Add", y, b.constant([0.0, 0.0, 1.0, 0.0]), to="out")
        b.output("out", [4, 4])
        expected = ["Transpose", "Slice", "Pad", "Cast", "Cast", "Add"]
        assert apply(b, IdentityElimination()) == expected

    def test_neutral_constant_that_broadcasts_stays(self, apply) -> None:
        b = TinyBuilder(18)
        b.node("Add", b.input("x", [1, 4]), b.constant(np.zeros((3, 1))), to="out")
        b.output("out", [3, 4])
        assert apply(b, IdentityElimination()) == ["Add"]

    def test_constant_minus_and_divided_by(self, apply) -> None:
        b = TinyBuilder(18)
        y = b.node("Sub", b.constant(0.0), b.input("x", [1, 4]))
        y = b.node("Exp", y)
        y = b.node("Div", b.constant(1.0), y)
        b.node("Pow", b.constant(1.0), y, to="out")
        b.output("out", [1, 4])
        assert apply(b, IdentityElimination()) == ["Sub", "Exp", "Div", "Pow"]


class TestCommonSubexpression:
    def test_merges_equal_products_but_no_draws(self, apply) -> None:
        left = Counter(apply("common_subexpressions", CommonSubexpression()))
        assert left["MatMul"] == 1
        assert left["Relu"] == 1
        assert left["RandomNormalLike"] == 2

    def test_unseeded_draws_and_bernoulli_stay(self, tmp_path: Path) -> None:
        b = TinyBuilder(18)
        x = b.input("x", [3])
        draws = [b.node("Bernoulli", x) for _ in range(2)]
        noise = [b.node("RandomNormalLike", x) for _ in range(2)]
        b.node("Sum", *draws, *noise, to="out")
        b.output("out", [3])
        path = tmp_path / "m.onnx"
        onnx.save(b.build(), path)
        assert not CommonSubexpression().apply(load_model(path).graph_model).modified

    def test_attributes_and_types_tell_nodes_apart(self, apply) -> None:
        b = TinyBuilder(18)
        x = b.input("x", [2, 3])
        y = [b.node("LeakyRelu", x, alpha=alpha) for alpha in (0.1, 0.2, 0.1)]
        y += [b.node("Add", x, b.constant(1.0)), b.node("Mul", x, b.constant(1.0))]
        b.node("Sum", *y, to="out")
        b.output("out", [2, 3])
        assert apply(b, CommonSubexpression()).count("LeakyRelu") == 2

    def test_outputs_that_exist_tell_nodes_apart(self, apply) -> None:
        """The second MaxPool has indices that the first does not compute."""
        b = TinyBuilder(18)
        x = b.input("x", [1, 1, 4, 4])
        first = b.node("MaxPool", x, kernel_shape=[2, 2])
        second, indices = b.nodes_of("MaxPool", [x], 2, kernel_shape=[2, 2])
        b.node("Add", first, second, to="out")
        b.node("Identity", indices, to="where")
        b.output("out", [1, 1, 3, 3])
        b.output("where", [1, 1, 3, 3], TensorProto.INT64)
        assert apply(b, CommonSubexpression()).count("MaxPool") == 2

    def test_equal_graph_outputs_both_stay(self, apply) -> None:
        b = TinyBuilder(18)
        x = b.input("x", [2])
        for name in ("first", "second"):
            b.node("Relu", x, to=name)
            b.output(name, [2])
        b.node("Neg", b.node("Relu", x), to="third")
        b.output("third", [2])
        assert sorted(apply(b, CommonSubexpression())) == ["Neg", "Relu", "Relu"]

    def test_equal_weights_are_tied_uniform_ones_are_not(self, load_tiny, tmp_path) -> None:
        b = TinyBuilder(18)
        x = b.input("x", [1, 64])
        table = b.random.standard_normal((64, 64)).astype(np.float32)
        for values in (table, table, np.zeros((64, 64)), np.zeros((64, 64))):
            x = b.node("MatMul", x, b.constant(values))
        b.node("Relu", x, to="y")
        b.output("y", [1, 64])
        path = tmp_path / "m.onnx"
        onnx.save(b.build(), path)
        model = load_model(path).graph_model
        CommonSubexpression().apply(model)
        assert len(model.graph.initializers) == 3


class TestDeadCodeAndFolding:
    def test_unused_constants_go_inputs_stay(self, load_tiny) -> None:
        _, model = load_tiny("conv_bn_relu_residual")
        graph = model.graph_model.graph
        spare = ir.Value(name="spare", const_value=ir.tensor(np.ones(3, np.float32)))
        graph.register_initializer(spare)
        graph.inputs.append(
            ir.Value(name="ignored", shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.FLOAT))
        )
        result = DeadCode().apply(model.graph_model)
        assert result.details == "0 nodes and 1 constants removed"
        assert [value.name for value in graph.inputs] == ["image", "ignored"]

    def test_dequantized_weights_stay_packed(self, apply) -> None:
        assert apply("int4_matmul", ConstantFolding()) == ["DequantizeLinear", "MatMul"]

    def test_folding_finds_nothing_after_import(self, load_tiny) -> None:
        for name in TINY_MODELS:
            assert not ConstantFolding().apply(load_tiny(name)[1].graph_model).modified


def test_function_bodies_with_captured_names(tmp_path: Path) -> None:
    """Inlining a function twice keeps the two copies apart."""
    b = TinyBuilder(18)
    x = b.input("h", [2, 2])  # the function has a value of the same name
    y = b.node("Twice", x, domain="local")
    b.node("Twice", y, domain="local", to="out")
    b.output("out", [2, 2])
    body = [
        helper.make_node("Relu", ["a"], ["h"], name="r"),
        helper.make_node("Add", ["h", "a"], ["b"], name="s"),
    ]
    b.functions.append(
        helper.make_function("local", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    )
    path = tmp_path / "m.onnx"
    onnx.save(b.build(), path)
    model = load_model(path).graph_model
    assert_equal_outputs(b.build(), model, tmp_path)
    assert len(model.graph) == 4
