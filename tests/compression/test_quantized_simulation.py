"""What workload and simulator know of quantized weights: bytes, widening, rates."""

import ml_dtypes
import msgspec
import numpy as np
import onnx_ir as ir
import pytest

from accelerator_sim.accelerator import Accelerator, Dequantize
from accelerator_sim.cost.mac_array.rates import rate_pair, relative_rate
from accelerator_sim.cost.variants import variants_of
from accelerator_sim.engine import evaluate
from accelerator_sim.problem import build_problem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.targets import load_target
from accelerator_sim.targets.checks import problems_of
from graph_ir.compression.emit import emit
from graph_ir.compression.grid import Grid
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.packing import packed_constant
from graph_ir.compression.sites import find_sites
from graph_ir.errors import InputError
from graph_ir.lower import lower
from graph_ir.workload import Op, Split, Workload
from tests.compression.joint_support import chain

INNER, COLUMNS = 96, 64


def quantized(grid: Grid, execution_type: str, rows: int = 1) -> Workload:
    """One product of a quantized weight `[96, 64]`, lowered."""
    model = chain([INNER, COLUMNS], rows)
    (site,) = find_sites(model.graph).found
    emit(site, Rtn().quantize(site.weight_KN(), grid))
    return lower(model, "main", execution_type).workload


def product(workload: Workload) -> Op:
    """The op of the product."""
    return next(op for op in workload.ops if op.mac_work)


def machine(unit: str, base: str = "nnp-i") -> Accelerator:
    """A target that widens weights there."""
    how = Dequantize(unit, source="a test")  # type: ignore[arg-type]
    return msgspec.structs.replace(load_target(base), dequantize=how)


@pytest.mark.parametrize("execution_type", ["int8", "fp16", "fp32"])
@pytest.mark.parametrize("grid", [Grid(4, 32), Grid(8, 32), Grid(4, 32, symmetric=False)])
def test_stored_bits_are_counted_whatever_computes(grid: Grid, execution_type: str) -> None:
    workload = quantized(grid, execution_type)
    assert 8 * workload.weight_bytes == grid.stored_bits(INNER, COLUMNS)
    scale = next(t for t in workload.tensors if "scale" in t.name)
    assert (scale.data_type, scale.size_bytes) == ("fp16", 2 * INNER // 32 * COLUMNS)
    assert product(workload).mac_work[0].right_type == f"int{grid.bits}"


def test_float16_constants_that_compute_are_in_the_execution_type() -> None:
    model = chain([INNER, COLUMNS])
    graph = model.graph
    half = packed_constant(graph, "half", np.ones(COLUMNS, np.float16), ir.DataType.FLOAT16)
    wide = ir.node("Cast", [half], {"to": ir.DataType.FLOAT}, name="wide")
    wide.outputs[0].shape, wide.outputs[0].dtype = ir.Shape([COLUMNS]), ir.DataType.FLOAT
    node = next(n for n in graph if n.op_type == "Softmax")
    value = node.inputs[0]
    add = ir.node("Add", [value, wide.outputs[0]], name="bias")
    add.outputs[0].shape, add.outputs[0].dtype = ir.Shape([1, COLUMNS]), ir.DataType.FLOAT
    graph.insert_before(node, [wide, add])
    node.replace_input_with(0, add.outputs[0])
    tensors = {t.name: t for t in lower(model, "main", "fp32").workload.tensors}
    assert tensors["half"].data_type == "fp32"


@pytest.mark.parametrize(
    ("grid", "each"),
    [
        (Grid(4, 32), 1),
        (Grid(4, 32, symmetric=False), 2),
        (Grid(8, 16), 1),
        (Grid(4, 128), 0),  # One group is all of K: its scale goes to the result.
    ],
)
def test_groups_are_widened_element_by_element(grid: Grid, each: int) -> None:
    assert product(quantized(grid, "fp16")).dequantize_ops == each * INNER * COLUMNS


def test_float_weights_are_not_widened() -> None:
    assert product(lower(chain([INNER, COLUMNS])).workload).dequantize_ops == 0


def test_vector_unit_widens_where_there_is_no_decoder() -> None:
    op = product(quantized(Grid(4, 32), "fp16", rows=48))
    lanes = load_target("nnp-i").vector_unit.lanes["fp16"].value
    clock_hz = load_target("nnp-i").clock_hz.value
    streamed = variants_of(op, machine("streamed"))
    vector = variants_of(op, machine("vector"))
    assert {v.split for v in streamed} >= {Split.ROWS, Split.COLUMNS}
    for free, paid in zip(streamed, vector, strict=True):
        # Cores that share rows widen all of it each.
        copies = 1 if free.split is Split.ROWS else 1 / free.cores
        widening_s = INNER * COLUMNS * copies / (lanes * clock_hz)
        assert paid.vector_s - free.vector_s == pytest.approx(widening_s)
        assert paid.mac_s == free.mac_s


def test_engines_agree_and_energy_counts_the_widening() -> None:
    workload = quantized(Grid(4, 32), "fp16")
    energies = []
    for unit in ("streamed", "vector"):
        problem = build_problem(workload, machine(unit))
        homes_T = problem.allowed_TH.argmax(axis=1).astype(np.int8)
        timeline = simulate(problem, homes_T.tolist())
        assert evaluate(problem, homes_T)[0] == pytest.approx(timeline.latency_s)
        energies.append(timeline.energy_j)
    assert energies[1] > energies[0]


def test_storage_is_not_arithmetic() -> None:
    array = load_target("nnp-i").mac_array
    assert array is not None
    assert relative_rate(array, "fp16", "int4") == relative_rate(array, "fp16", "fp16")
    assert relative_rate(array, "int8", "int4") == relative_rate(array, "int8", "int8")
    assert relative_rate(array, "int8", "int4") > relative_rate(array, "fp16", "int4")
    assert rate_pair(array, "int8", "int2") == "int8*int4"
    assert rate_pair(array, "fp32", "int4") == "fp32*fp32"
    with pytest.raises(InputError, match=r"no rate for bf16\*int4"):
        relative_rate(array, "bf16", "int4")


def test_integer_arrays_refuse_float_activations() -> None:
    array = load_target("ethos-u65-512").mac_array
    assert array is not None
    with pytest.raises(InputError, match=r"no rate for fp16\*int4"):
        relative_rate(array, "fp16", "int4")


def test_who_widens_has_an_origin() -> None:
    target = msgspec.structs.replace(load_target("nnp-i"), dequantize=Dequantize("vector"))
    assert "dequantize.source" in [key for key, _ in problems_of(target)]
    assert load_target("hexagon-vtcm-8m").dequantize.unit == "vector"
    assert load_target("ethos-u65-512").dequantize.unit == "streamed"


def test_narrowest_integers_take_a_quarter_of_bytes() -> None:
    assert np.dtype(ml_dtypes.int2).itemsize == 1  # As arrays; packed in the workload.
    workload = quantized(Grid(2, 32), "fp16")
    levels = next(t for t in workload.tensors if t.data_type == "int2")
    assert levels.size_bytes == INNER * COLUMNS // 4
