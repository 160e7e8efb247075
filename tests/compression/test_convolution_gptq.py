"""GPTQ over the patches of a convolution."""

import numpy as np
import onnx_ir as ir
import pytest

from graph_ir.compression.convolution_gptq import round_patches
from graph_ir.compression.patches import kernel_of, patches
from graph_ir.compression.qdq_weights import channel_scale, on_channels
from tests.compression.graphs import normal

CASES = [
    {"kernel": (3, 3), "group": 1, "strides": (2, 1), "pads": (1, 0, 2, 1), "dilations": (1, 2)},
    {"kernel": (3, 3), "group": 6, "strides": (1, 1), "auto_pad": "SAME_UPPER"},
    {"kernel": (2, 4), "group": 2, "strides": (2, 3), "auto_pad": "SAME_LOWER"},
    {"kernel": (1, 1), "group": 3, "strides": (1, 2), "auto_pad": "VALID"},
    {"kernel": (5,), "group": 2, "strides": (2,), "pads": (2, 2)},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_patches_times_the_weight_are_the_convolution(case: dict) -> None:
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    taps, groups = case["kernel"], case["group"]
    space = (9, 11)[: len(taps)]
    weight = normal(0, (12, 6 // groups, *taps))
    x = normal(1, (2, 6, *space))
    attributes = {key: list(v) if isinstance(v, tuple) else v for key, v in case.items()}
    del attributes["kernel"]
    node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("x", 1, x.shape),
            helper.make_tensor_value_info("w", 1, weight.shape),
        ],
        [helper.make_tensor_value_info("y", 1, None)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    (wanted,) = ReferenceEvaluator(proto).run(None, {"x": x, "w": weight})
    model = ir.serde.deserialize_model(proto)
    kernel = kernel_of(next(iter(model.graph)), weight.shape)
    rows_gRE = patches(x, kernel, 10_000)
    columns_gNE = weight.reshape(groups, -1, rows_gRE.shape[2])
    got_gRN = rows_gRE @ columns_gNE.transpose(0, 2, 1)
    flat = np.moveaxis(wanted.reshape(2, groups, 12 // groups, -1), (1, 3), (0, 2))
    np.testing.assert_allclose(got_gRN, flat.reshape(got_gRN.shape), rtol=1e-4, atol=1e-4)
    few = patches(x, kernel, 3)
    assert few.shape[1] == 2 * 3
    assert all(any(np.array_equal(row, other) for other in rows_gRE[0]) for row in few[0])


@pytest.mark.parametrize("groups", [1, 8])
def test_error_of_the_results_is_far_below_that_of_rounding(groups: int) -> None:
    weight = normal(0, (16, 16 // groups, 3, 3))
    entries = weight[0].size
    mixed = normal(2, (entries, entries)) * np.logspace(0, -2, entries)[:, None]
    rows_gRE = np.stack([normal(5 + g, (2000, entries)) @ mixed for g in range(groups)])
    gram = (rows_gRE.transpose(0, 2, 1) @ rows_gRE).astype(np.float64) / 2000

    def error(quantized: np.ndarray) -> float:
        lost = (quantized - weight).reshape(groups, -1, entries).astype(np.float64)
        return float(np.einsum("gne,gef,gnf->", lost, gram, lost))

    nearest = on_channels(weight, 0, 4, channel_scale(weight, 0, 4))
    found = round_patches(weight, 4, gram, 2000)
    assert error(found.dequantized()) < 0.6 * error(nearest.dequantized())
    assert np.abs(found.levels).max() <= 7
    assert (found.scale_C > 0).all()


def test_without_correlation_it_is_rounding_to_nearest() -> None:
    weight = normal(0, (4, 2, 3, 3))
    gram = np.eye(18)[None]
    found = round_patches(weight, 4, gram, 10_000)
    assert np.array_equal(found.levels, on_channels(weight, 0, 4, found.scale_C).levels)


def test_inputs_that_were_always_zero_leave_rounding_to_nearest() -> None:
    weight = normal(0, (4, 1, 3, 3))
    found = round_patches(weight, 4, np.zeros((4, 9, 9)), 100)
    assert np.array_equal(found.levels, on_channels(weight, 0, 4, found.scale_C).levels)
