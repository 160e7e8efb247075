"""Convolutions as choices of `auto:...,activations=float/int8`, judged by onnxruntime."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper

from accelerator_sim.cost.mac_array.rates import rate_pair
from accelerator_sim.targets import load_target
from egrl.compilation import compile_model
from egrl.compression.error import Reference, relative_error
from egrl.compression.gate import check_executed
from egrl.compression.joint.byte_convolutions import convolutions_of
from egrl.compression.joint.byte_forms import byte_forms
from egrl.compression.joint.byte_sensitivity import ByteSensitivities, measure_bytes
from egrl.compression.joint.choices import Precisions, lower_precisions
from egrl.compression.joint.costs import ChoiceCosts
from egrl.compression.joint.model import Bounds
from egrl.compression.joint.placed import Place
from egrl.compression.joint.search import Effort, joint_search
from egrl.compression.joint.trial import Trial
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.sensitivity import measure_sensitivities
from graph_ir.compression.fusable import make_fusable
from graph_ir.compression.method import Data, Feeds
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import find_sites
from graph_ir.errors import InputError
from graph_ir.lower import lower
from runtime.load import load_artifact
from runtime.manifest import Execution
from tests.compression.joint_support import GRIDS

FORMS = byte_forms(GRIDS)
KEPT, EIGHT, FOUR, EIGHT_BYTES, FOUR_BYTES = range(5)
TARGET = "nvdla-full"  # multiplies bytes twice as fast as floats
MACHINE = load_target(TARGET)


def network() -> onnx.ModelProto:
    """A clamped stem, a residual block with a depthwise convolution, pooling, and a classifier."""
    rng = np.random.default_rng(3)
    shapes: dict[str, tuple[int, ...]] = {
        "w0": (16, 3, 3, 3), "b0": (16,), "w1": (16, 1, 3, 3), "w2": (16, 16, 1, 1),
        "b2": (16,), "w3": (32, 16, 3, 3), "w4": (32, 24), "b4": (24,),
    }  # fmt: skip
    constants = []
    for name, shape in shapes.items():
        array = rng.standard_normal(shape) / np.sqrt(prod(shape[1:]))
        constants.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    for name, value in (("low", 0.0), ("high", 6.0)):
        constants.append(onnx.numpy_helper.from_array(np.array(value, np.float32), name))
    pads = [1, 1, 1, 1]
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], "stem", pads=pads, strides=[2, 2]),
        helper.make_node("Clip", ["c0", "low", "high"], ["r0"], "clip"),
        helper.make_node("Conv", ["r0", "w1"], ["c1"], "depthwise", pads=pads, group=16),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "narrow"),
        helper.make_node("Add", ["c2", "r0"], ["sum"], "residual"),
        helper.make_node("Conv", ["sum", "w3"], ["c3"], "wide", pads=pads),
        helper.make_node("Relu", ["c3"], ["r3"], "relu3"),
        helper.make_node("GlobalAveragePool", ["r3"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w4", "b4"], ["y"], "classifier"),
    ]
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 24])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


@dataclass(frozen=True, slots=True)
class Measured:
    """The network with everything that a choice needs."""

    model: ir.Model
    precisions: Precisions
    costs: ChoiceCosts
    measured: ByteSensitivities
    trial: Trial


@pytest.fixture(scope="module")
def net() -> Measured:
    """Measured on three inputs."""
    model = ir.from_proto(network())
    rng = np.random.default_rng(5)
    feeds: list[Feeds] = [
        {"x": rng.standard_normal((1, 3, 16, 16)).astype(np.float32)} for _ in range(3)
    ]
    data = Data(tuple(feeds), OnnxRuntimeRunner(), 0, True, GRIDS[1])
    measured = measure_bytes(model, FORMS, "best", data)
    streamed = frozenset(MACHINE.streamed_views)
    precisions = lower_precisions(model, GRIDS, "fp16", streamed, "a test", FORMS, measured.ranges)
    grids = sorted(GRIDS, key=lambda grid: grid.bits)
    errors = measure_sensitivities(model, find_sites(model.graph).found, grids, data)
    costs = precisions.costs(errors, measured.error_squared)
    trial = Trial(
        model, precisions, Rtn(), (), data, Reference(model, data.samples),
        Execution(accuracy_level=4), ranges=measured.ranges, means=measured.means,
    )  # fmt: skip
    return Measured(model, precisions, costs, measured, trial)


def test_convolutions_have_two_forms_and_stay_elsewhere(net: Measured) -> None:
    order = [name for names in net.precisions.sites for name in names]
    by_name = dict(zip(order, net.precisions.alias_SP, strict=True))
    kept_or_bytes = (KEPT, KEPT, KEPT, EIGHT_BYTES, FOUR_BYTES)
    for name in ("stem", "depthwise", "narrow", "wide"):
        assert by_name[name] == kept_or_bytes
    assert by_name["classifier"] == (0, 1, 2, 3, 4)
    assert net.precisions.uniform(FOUR).count(KEPT) == 4
    assert (net.costs.error_squared_SP[:, FOUR_BYTES] > 0).all()
    for name in ("stem", "wide"):
        s = order.index(name)
        assert net.costs.error_squared_SP[s, EIGHT] == 0
        assert net.costs.bytes_SP[s, EIGHT] == net.costs.bytes_SP[s, KEPT]
        assert net.costs.error_squared_SP[s, FOUR_BYTES] > net.costs.error_squared_SP[s, 3]
        assert net.costs.bytes_SP[s, FOUR_BYTES] < net.costs.bytes_SP[s, 3]


def mixtures() -> list[tuple[int, ...]]:
    """All in one, one alone, every other one, and drawn ones."""
    rng = np.random.default_rng(1)
    drawn = rng.choice([KEPT, EIGHT_BYTES, FOUR_BYTES], (6, 5))
    one = np.eye(5, dtype=int) * EIGHT_BYTES
    return [
        (EIGHT_BYTES,) * 5,
        (FOUR_BYTES,) * 5,
        (FOUR, EIGHT_BYTES, KEPT, EIGHT_BYTES, KEPT),
        *(tuple(choice) for choice in (*one.tolist(), *drawn.tolist())),
    ]


@pytest.mark.parametrize("choice_S", mixtures())
def test_mixture_is_lowered_and_executed_as_it_is(net: Measured, choice_S: tuple[int, ...]) -> None:
    form = net.model.clone()
    layers, _ = net.trial.apply(form, choice_S)
    make_fusable(form.graph)
    assert len(layers) == sum(choice != KEPT for choice in choice_S)
    lowered = lower(form, "main", "fp16", frozenset(MACHINE.streamed_views)).workload
    assert net.precisions.workload(choice_S) == lowered
    assert net.costs.weight_bytes(choice_S) == pytest.approx(lowered.weight_bytes, rel=0.05)
    # Refuses a convolution of bytes that onnxruntime computes in floats.
    earlier = frozenset(net.model.graph.initializers)
    check_executed(form, Execution(accuracy_level=4), earlier, "a test")
    # Standard ops: what they compute without any fusion is what the trial measured.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(ir.to_proto(form).SerializeToString(), options)
    source = onnxruntime.InferenceSession(ir.to_proto(net.model).SerializeToString(), options)
    samples = net.trial.data.samples
    expected = [{"y": source.run(["y"], sample)[0]} for sample in samples]
    got = [{"y": plain.run(["y"], sample)[0]} for sample in samples]
    error = net.trial.error(choice_S)
    assert relative_error(expected, got) == pytest.approx(error, rel=0.1, abs=2e-3)
    assert 0 < error < (0.5 if FOUR_BYTES in choice_S else 0.05)


def test_sum_of_parts_is_about_what_is_measured(net: Measured) -> None:
    for choice_S in ((EIGHT_BYTES,) * 5, (FOUR_BYTES,) * 5):
        assert net.trial.error(choice_S) == pytest.approx(net.costs.error(choice_S), rel=0.6)


def test_bytes_among_bytes_are_priced_as_such(net: Measured) -> None:
    """Alone a convolution would pay for rounding; what the search tries must not depend on it."""
    place = Place(net.precisions, MACHINE, {}, 0)
    problems = [place.price_problem(p) for p in range(net.precisions.count)]
    search = joint_search(place, problems, net.costs, Effort())
    prices = search.decoder.prices({})
    wide = [name for names in net.precisions.sites for name in names].index("wide")
    assert prices.early_SP[wide, EIGHT_BYTES] < 0.9 * prices.early_SP[wide, KEPT]


def test_stand_ins_are_never_chosen(net: Measured) -> None:
    place = Place(net.precisions, MACHINE, {}, 0)
    problems = [place.price_problem(p) for p in range(net.precisions.count)]
    start = place.place(net.precisions.uniform(KEPT), [], 200)
    search = joint_search(place, problems, net.costs, Effort(20, 0.0, 6, 200))
    for error in (0.001, 0.02, 1.0):
        found = search.run(Bounds(error), [start])
        assert found is not None
        assert net.costs.real(found.choice_S) == found.choice_S


@pytest.mark.parametrize("placer", ["auto", "egrl", "exact"])
def test_compile_chooses_convolutions(tmp_path: Path, placer: str) -> None:
    onnx.save(network(), tmp_path / "m.onnx")
    rng = np.random.default_rng(5)
    inputs = tmp_path / "inputs.npz"
    np.savez(inputs, x=rng.standard_normal((1, 3, 16, 16)).astype(np.float32))
    out = tmp_path / "a.egrl"
    compile_model(
        tmp_path / "m.onnx", out=out, target=TARGET, precision="fp16", budget="300ev",
        placer=placer, calibration=inputs, max_error=0.03,
        compress=["auto:rtn,activations=float/int8,rounds=3,evaluations=100"],
    )  # fmt: skip
    manifest = msgspec.json.decode((out / "manifest.json").read_bytes())
    record = next(p for p in manifest["passes"] if p["name"] == "auto")
    assert 0 < record["error"] <= 0.03
    assert (
        record["options"]["search"]
        == {"auto": "drawn", "egrl": "agent", "exact": "program"}[placer]
    )
    layers = {
        layer["name"]: layer["bits"] for layer in manifest["compression"]["main"][0]["layers"]
    }
    assert set(layers) & {site.name for site in convolutions_of(ir.from_proto(network()))}
    loaded = load_artifact(out)
    assert loaded is not None


def test_unknown_search_is_refused(tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="search: expected one of placer, program, drawn, agent"):
        compile_model(
            tmp_path / "m.onnx", out=tmp_path / "a.egrl", target=TARGET, max_error=0.1,
            compress=["auto:rtn,search=luck"],
        )  # fmt: skip


def test_bytes_beside_a_float_weight_run_at_the_rate_of_floats() -> None:
    array = MACHINE.mac_array
    assert array is not None
    assert rate_pair(array, "int8", "fp16") == "fp16*fp16"
    assert rate_pair(array, "int8", "int8") == "int8*int8"
    assert rate_pair(array, "int8", "fp64") is None
