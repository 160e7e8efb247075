"""`auto:...,activations=float/int8`: which products read bytes, chosen with everything else."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.targets import load_target
from egrl.compilation import compile_model
from egrl.compression.error import Reference
from egrl.compression.gate import check_executed
from egrl.compression.joint.byte_forms import ByteForm, byte_forms
from egrl.compression.joint.byte_sensitivity import ByteSensitivities, measure_bytes
from egrl.compression.joint.choices import Precisions, lower_precisions
from egrl.compression.joint.model import Bounds
from egrl.compression.joint.placed import Place
from egrl.compression.joint.search import Effort, joint_search
from egrl.compression.joint.trial import Trial
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.sensitivity import measure_sensitivities
from graph_ir.compression.fusable import make_fusable
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Data, Feeds
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import find_sites
from graph_ir.errors import InputError
from graph_ir.lower import lower
from graph_ir.onnx_values import shape_of, value_name
from runtime.load import load_artifact
from runtime.manifest import Execution
from tests.compression.joint_support import GRIDS, chain_model

FORMS = byte_forms(GRIDS)
KEPT, EIGHT, FOUR, EIGHT_BYTES, FOUR_BYTES = range(5)
TARGET = "nvdla-full"  # multiplies bytes twice as fast as floats


def branches_model() -> onnx.ModelProto:
    """Two products and a residual add read one tensor of three axes; a Gemm with a bias ends it."""
    rng = np.random.default_rng(3)
    shapes = {"w1": (64, 64), "w2": (64, 64), "w3": (64, 64), "w4": (48, 64), "b4": (48,)}
    constants = [
        onnx.numpy_helper.from_array((rng.standard_normal(shape) / 8).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    constants.append(onnx.numpy_helper.from_array(np.array([6, 64], np.int64), "rows"))
    nodes = [
        helper.make_node("Tanh", ["x"], ["t"], "tanh"),
        helper.make_node("MatMul", ["t", "w1"], ["p1"], "first"),
        helper.make_node("MatMul", ["t", "w2"], ["p2"], "second"),
        helper.make_node("Mul", ["p1", "p2"], ["m"], "mul"),
        helper.make_node("Add", ["m", "t"], ["r"], "residual"),
        helper.make_node("MatMul", ["r", "w3"], ["p3"], "third"),
        helper.make_node("Reshape", ["p3", "rows"], ["flat"], "reshape"),
        helper.make_node("Gemm", ["flat", "w4", "b4"], ["y"], "fourth", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [6, 48])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def layers_model(widths: list[int], rows: int) -> onnx.ModelProto:
    """Products with a Relu between, whose errors reach the outputs."""
    model = chain_model(widths, rows)
    for node in model.graph.node:
        if node.op_type == "Softmax":
            node.op_type = "Relu"
            del node.attribute[:]
    return model


def data_of(model: ir.Model, samples: int = 1) -> Data:
    """Seeded normal inputs."""
    rng = np.random.default_rng(5)
    (value,) = model.graph.inputs
    feeds: list[Feeds] = [
        {value_name(value): rng.standard_normal(shape_of(value)).astype(np.float32)}
        for _ in range(samples)
    ]
    return Data(tuple(feeds), OnnxRuntimeRunner(), 0, True, GRIDS[1])


def precisions_of(model: ir.Model, machine: Accelerator) -> Precisions:
    """Kept, the grids, and both forms with bytes."""
    streamed = frozenset(machine.streamed_views)
    return lower_precisions(model, GRIDS, "fp16", streamed, "a test", FORMS)


def trial_of(
    model: ir.Model, precisions: Precisions, measured: ByteSensitivities, data: Data
) -> Trial:
    """Rounds to nearest and measures on the inputs that it learned from."""
    reference = Reference(model, data.samples)
    execution = Execution(accuracy_level=4)
    return Trial(
        model, precisions, Rtn(), (), data, reference, execution, ranges=measured.ranges
    )  # fmt: skip


MIXTURES = [
    (EIGHT_BYTES,) * 4,
    (FOUR_BYTES,) * 4,
    (EIGHT_BYTES, KEPT, FOUR, FOUR_BYTES),
    (FOUR_BYTES, EIGHT_BYTES, EIGHT_BYTES, EIGHT),
    (KEPT, KEPT, FOUR_BYTES, EIGHT_BYTES),
]


@pytest.mark.parametrize("choice_S", MIXTURES)
def test_workload_is_that_of_the_compressed_model(choice_S: tuple[int, ...]) -> None:
    machine = load_target(TARGET)
    model = ir.from_proto(branches_model())
    precisions, data = precisions_of(model, machine), data_of(model)
    trial = trial_of(model, precisions, measure_bytes(model, FORMS, "minmax", data), data)
    compressed = model.clone()
    layers, _ = trial.apply(compressed, choice_S)
    make_fusable(compressed.graph)
    streamed = frozenset(machine.streamed_views)
    workload = precisions.workload(choice_S)
    assert workload == lower(compressed, "main", "fp16", streamed).workload
    names = ["first", "second", "third", "fourth"]
    kept = [name for name, choice in zip(names, choice_S, strict=True) if choice != KEPT]
    assert [layer.name for layer in layers] == kept
    # What the choice says of bytes is what is stored, and what types are multiplied.
    costs = precisions.costs(
        measure_sensitivities(model, find_sites(model.graph).found, GRIDS[::-1], data),
        dict.fromkeys(itertools.product(names, FORMS), 1.0),
    )
    assert costs.weight_bytes(choice_S) == workload.weight_bytes
    types = {
        KEPT: ("fp16", "fp16"), EIGHT: ("fp16", "int8"), FOUR: ("fp16", "int4"),
        EIGHT_BYTES: ("int8", "int8"), FOUR_BYTES: ("int8", "int4"),
    }  # fmt: skip
    got = [(work.left_type, work.right_type) for op in workload.ops for work in op.mac_work]
    assert got == [types[choice] for choice in choice_S]


@pytest.mark.parametrize("between", ["Relu", "Tanh"])
def test_every_mixture_is_executed_by_integer_kernels(between: str) -> None:
    """Whatever the neighbours of a product are, onnxruntime finds its kernel."""
    proto = layers_model([64, 96, 80, 64], 6)
    for node in proto.graph.node:
        node.op_type = between if node.op_type == "Relu" else node.op_type
    model = ir.from_proto(proto)
    data, machine = data_of(model), load_target(TARGET)
    precisions = precisions_of(model, machine)
    trial = trial_of(model, precisions, measure_bytes(model, FORMS, "minmax", data), data)
    chosen = (KEPT, FOUR, EIGHT_BYTES, FOUR_BYTES)
    for choice_S in itertools.product(chosen, repeat=3):
        compressed = model.clone()
        trial.apply(compressed, choice_S)
        make_fusable(compressed.graph)
        forms = check_executed(compressed, trial.execution, frozenset({"w0", "w1", "w2"}), "m")
        assert sum(forms.kernels.values()) == sum(choice != KEPT for choice in choice_S)
        assert (
            precisions.workload(choice_S)
            == lower(compressed, "main", "fp16", frozenset(machine.streamed_views)).workload
        )


def test_a_tensor_is_rounded_once_for_all_that_read_it_as_bytes() -> None:
    precisions = precisions_of(ir.from_proto(branches_model()), load_target(TARGET))
    for choice_S, expected in (
        ((EIGHT_BYTES, FOUR_BYTES, KEPT, KEPT), 1),
        ((EIGHT_BYTES, KEPT, EIGHT_BYTES, KEPT), 2),
        ((FOUR, EIGHT, KEPT, FOUR), 0),
    ):
        workload = precisions.workload(choice_S)
        rounding = [node for op in workload.ops for node in op.nodes if "/quantize" in node]
        assert len(rounding) == expected, rounding


def test_prices_are_of_the_same_ops_and_count_the_rounding() -> None:
    precisions = precisions_of(ir.from_proto(branches_model()), load_target(TARGET))
    base = precisions.price_workload(KEPT)
    assert base == precisions.workload(precisions.uniform(KEPT))
    for precision in (EIGHT_BYTES, FOUR_BYTES):
        priced = precisions.price_workload(precision)
        assert [op.name for op in priced.ops] == [op.name for op in base.ops]
        exact = precisions.workload(precisions.uniform(precision))
        assert priced.weight_bytes == exact.weight_bytes
        for ops in precisions.ops:
            for op in ops:
                inner = base.ops[op].mac_work[0].inner
                rounded = 2 * inner * base.ops[op].mac_work[0].rows
                assert priced.ops[op].vector_ops == base.ops[op].vector_ops + rounded
                assert priced.ops[op].mac_work[0].left_type == "int8"


@pytest.mark.parametrize("site", range(4))
def test_sensitivity_is_the_error_of_the_form_alone(site: int) -> None:
    model = ir.from_proto(branches_model())
    data = data_of(model)
    precisions = precisions_of(model, load_target(TARGET))
    measured = measure_bytes(model, FORMS, "mse", data)
    trial = trial_of(model, precisions, measured, data)
    (name,) = precisions.sites[site]
    choice_S = tuple(EIGHT_BYTES if s == site else KEPT for s in range(4))
    error = trial.error(choice_S)
    assert error > 0
    assert np.sqrt(measured.error_squared[name, ByteForm(None)]) == pytest.approx(error, rel=0.02)
    # onnxruntime's product of 4-bit weights rounds the activations, bytes already, once more.
    choice_S = tuple(FOUR_BYTES if s == site else KEPT for s in range(4))
    four = np.sqrt(measured.error_squared[name, FORMS[1]])
    assert four == pytest.approx(trial.error(choice_S), rel=0.1)
    assert four > 2 * error


def test_best_range_is_the_one_of_least_error() -> None:
    model = ir.from_proto(branches_model())
    data = data_of(model)
    best = measure_bytes(model, FORMS[:1], "best", data)
    sums = {
        way: sum(measure_bytes(model, FORMS[:1], way, data).error_squared.values())
        for way in ("mse", "percentile", "minmax")
    }
    assert sum(best.error_squared.values()) == sums[best.choice]
    assert sums[best.choice] <= 1.05 * min(sums.values())


def test_search_is_never_slower_than_any_uniform_precision() -> None:
    machine = load_target(TARGET)
    model = ir.from_proto(chain_model([128, 512, 512, 128], rows=32))
    precisions, data = precisions_of(model, machine), data_of(model)
    measured = measure_bytes(model, FORMS, "minmax", data)
    sites = find_sites(model.graph).found
    errors = measure_sensitivities(model, sites, GRIDS[::-1], data)
    costs = precisions.costs(errors, measured.error_squared)
    place = Place(precisions, machine, {}, 0)
    problems = [place.price_problem(p) for p in range(precisions.count)]
    search = joint_search(place, problems, costs, Effort(nodes=50, rounds=6, evaluations=300))
    for precision in range(precisions.count):
        choice_S = precisions.uniform(precision)
        placed = place.place(choice_S, [], 1000)
        bounds = Bounds(max(costs.error(choice_S), 1e-9))
        found = search.run(bounds, [])
        assert found is not None
        assert costs.error(found.choice_S) <= bounds.error * (1 + 1e-9)
        assert found.latency_s <= placed.latency_s * (1 + 1e-9)


def _compiled(folder: Path, name: str, options: str, max_error: float) -> dict[str, Any]:
    path = folder / "m.onnx"
    onnx.save(layers_model([128, 512, 512, 128], rows=64), path)
    compile_model(
        path, out=folder / name, target=TARGET, precision="fp16", budget="500ev",
        compress=[f"auto:rtn,rounds=4,evaluations=300,{options}"], max_error=max_error,
    )  # fmt: skip
    manifest: dict[str, Any] = msgspec.json.decode((folder / name / "manifest.json").read_bytes())
    return manifest


def latency_s(folder: Path) -> float:
    """Of the placement that was compiled."""
    return load_artifact(folder).reports["main"].latency_s


def _auto(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in manifest["passes"] if each["name"] == "auto")
    return found


def _bytes(manifest: dict[str, Any]) -> dict[str, int]:
    """How many products each form with activations of bytes was chosen for."""
    parts = (part.split(" ") for part in _auto(manifest)["options"]["chosen"].split(", "))
    return {name: int(count) for count, name in parts if name.endswith("a8")}


def test_bytes_are_chosen_where_they_are_faster(tmp_path: Path) -> None:
    floats = _compiled(tmp_path, "f.egrl", "activations=float", max_error=0.03)
    both = _compiled(tmp_path, "b.egrl", "activations=float/int8", max_error=0.03)
    assert sum(_bytes(both).values()) == 3
    assert not _bytes(floats)
    assert 0 < _auto(both)["error"] <= 0.03
    assert latency_s(tmp_path / "b.egrl") < 0.8 * latency_s(tmp_path / "f.egrl")
    compression = both["compression"]["main"][0]
    assert [layer["bits"] for layer in compression["layers"]] == [8, 8, 8]
    # Where the next product reads bytes as well, the Relu between is implied by their range.
    assert compression["kernels"] == {"QLinearMatMul": 2, "MatMulIntegerToFloat": 1}


@pytest.mark.parametrize(("max_error", "least", "most"), [(0.0125, 1, 2), (0.008, 0, 0)])
def test_an_error_that_bytes_exceed_forbids_them(
    tmp_path: Path, max_error: float, least: int, most: int
) -> None:
    manifest = _compiled(tmp_path, "a.egrl", "activations=float/int8", max_error=max_error)
    assert least <= sum(_bytes(manifest).values()) <= most
    assert _auto(manifest)["error"] <= max_error


def test_no_bytes_where_everything_is_bytes_already(tmp_path: Path) -> None:
    """A target that executes in int8 has nothing to gain from rounding once more."""
    onnx.save(layers_model([128, 512, 512, 128], rows=16), tmp_path / "m.onnx")
    compile_model(
        tmp_path / "m.onnx", out=tmp_path / "a.egrl", target="ethos-u65-512", budget="300ev",
        compress=["auto:rtn,rounds=4,evaluations=300,activations=float/int8"], max_error=0.3,
    )  # fmt: skip
    manifest = msgspec.json.decode((tmp_path / "a.egrl" / "manifest.json").read_bytes())
    assert not any(_bytes(manifest).values())


@pytest.mark.parametrize("method", ["rtn+lorc", "awq+gptq"])
def test_parts_of_a_method_work_beside_bytes(tmp_path: Path, method: str) -> None:
    onnx.save(layers_model([128, 512, 512, 128], rows=64), tmp_path / "m.onnx")
    compile_model(
        tmp_path / "m.onnx", out=tmp_path / "a.egrl", target=TARGET, precision="fp16",
        budget="100ev", max_error=0.3,
        compress=[f"auto:{method},rounds=2,evaluations=100,activations=float/int8,grids=4x32"],
    )  # fmt: skip
    manifest = msgspec.json.decode((tmp_path / "a.egrl" / "manifest.json").read_bytes())
    assert _bytes(manifest) == {"4x32a8": 3}
    assert 0 < _auto(manifest)["error"] <= 0.3


def test_same_flag_same_artifact(tmp_path: Path) -> None:
    options = "activations=float/int8,grids=8x32/4x32"
    first = _compiled(tmp_path, "a.egrl", options, max_error=0.1)
    assert first == _compiled(tmp_path, "b.egrl", options, max_error=0.1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("activations=int8", "expected float or float/int8"),
        ("activations=float/int4", "expected float or float/int8"),
        ("activations=float/int8,grids=2x32", "expected a grid of 4 or 8 bits"),
        ("activations=float/int8,range=widest", "expected one of best"),
        ("range=mse", "expected activations=float/int8 with it"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        _compiled(tmp_path, "a.egrl", options, max_error=0.1)


def test_forms_stand_beside_their_grids() -> None:
    names = [form.name for form in byte_forms([Grid(2, 32), Grid(8, 128), Grid(4, 64)])]
    assert names == ["8a8", "4x64a8"]
    assert byte_forms([Grid(2, 32)]) == ()
