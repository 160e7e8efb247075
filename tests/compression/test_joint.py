"""Precision and placement together: the program, the search, and the loop that measures."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerator_sim.problem import build_problem
from accelerator_sim.targets import load_target
from egrl.compilation import compile_model
from egrl.compression.error import Reference
from egrl.compression.joint.choosing import Choosing
from egrl.compression.joint.costs import ChoiceCosts
from egrl.compression.joint.goal import AutoOptions, Goal, Target
from egrl.compression.joint.knapsack import cheapest
from egrl.compression.joint.model import Bounds, build_joint_model
from egrl.compression.joint.search import Effort
from egrl.compression.joint.trial import Trial
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.placers.milp import Limits, solve_program
from graph_ir.compression.emit import emit, needed_opset
from graph_ir.compression.fusable import make_fusable
from graph_ir.compression.method import Data
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import find_sites
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.lower import lower
from graph_ir.opset import raise_opset
from runtime.manifest import Execution
from tests.compression.convolutions import one_convolution
from tests.compression.joint_support import (
    GRIDS,
    best_by_force,
    chain,
    chain_model,
    precisions_of,
    random_costs,
    search_of,
    small_machine,
)

FEW = Effort(nodes=50, rounds=6, evaluations=300)


@pytest.mark.parametrize("choice_S", [(0, 0, 0), (1, 2, 0), (2, 2, 1), (2, 0, 2)])
def test_mixed_workload_is_that_of_the_compressed_model(choice_S: tuple[int, ...]) -> None:
    machine = load_target("hexagon-vtcm-8m")
    model = chain([64, 96, 128, 64])
    precisions = precisions_of(model, machine)
    raise_opset(model, needed_opset(4), "a test")
    grids = precisions.grids_of(choice_S)
    for site in find_sites(model.graph).found:
        if site.name in grids:
            emit(site, Rtn().quantize(site.weight_KN(), grids[site.name]))
    make_fusable(model.graph)
    expected = lower(model, "main", "fp16", frozenset(machine.streamed_views)).workload
    assert precisions.workload(choice_S) == expected


@settings(max_examples=8)
@given(
    st.lists(st.sampled_from([32, 64, 96, 128]), min_size=3, max_size=3),
    st.integers(0, 1000),
    st.integers(8, 40),
    st.floats(0.05, 1.2),
)
def test_program_bounds_and_search_finds_the_optimum(
    widths: list[int], seed: int, kilobytes: int, error: float
) -> None:
    machine = small_machine(kilobytes << 10)
    precisions = precisions_of(chain(widths, seed=seed), machine)
    costs = random_costs(precisions, seed)
    search = search_of(precisions, machine, costs, FEW)
    bounds = Bounds(error)
    best_s = best_by_force(search, bounds)
    model = build_joint_model(search.problems, costs, bounds, 10_000)
    solved = solve_program(model.program, Limits(relative_gap=1e-9))
    assert solved.optimal
    assert solved.bound * model.time_unit_s <= best_s * (1 + 1e-6)
    found = search.run(bounds, [])
    assert found is not None
    assert costs.error(found.choice_S) <= error * (1 + 1e-9)
    assert found.latency_s == pytest.approx(best_s, rel=1e-9)


@settings(max_examples=7)
@given(
    st.lists(st.sampled_from([32, 64, 128, 160]), min_size=4, max_size=7),
    st.integers(0, 1000),
    st.integers(8, 64),
    st.sampled_from([1, 2]),
)
def test_never_slower_than_uniform_and_then_placed(
    widths: list[int], seed: int, kilobytes: int, precision: int
) -> None:
    machine = small_machine(kilobytes << 10)
    precisions = precisions_of(chain(widths, seed=seed), machine)
    costs = random_costs(precisions, seed)
    search = search_of(precisions, machine, costs, FEW)
    uniform = search.place.place(precisions.uniform(precision), [], 2000)
    bounds = Bounds(costs.error(uniform.choice_S))
    found = search.run(bounds, [uniform])
    assert found is not None
    assert found.latency_s <= uniform.latency_s
    assert costs.error(found.choice_S) <= bounds.error * (1 + 1e-9)


def test_bytes_bound_the_choice() -> None:
    machine = small_machine(32 << 10)
    precisions = precisions_of(chain([64, 128, 128, 64]), machine)
    costs = random_costs(precisions, 3)
    search = search_of(precisions, machine, costs, FEW)
    most = (costs.weight_bytes(precisions.uniform(1)) + costs.weight_bytes((2, 2, 2))) // 2
    found = search.run(Bounds(np.inf, most), [])
    assert found is not None
    assert costs.weight_bytes(found.choice_S) <= most
    assert found.problem.workload.weight_bytes == costs.weight_bytes(found.choice_S)
    assert search.run(Bounds(np.inf, costs.weight_bytes((2, 2, 2)) - 1), []) is None


def test_same_seed_same_choice_and_placement() -> None:
    machine = small_machine(24 << 10)
    precisions = precisions_of(chain([64, 128, 128, 160, 64]), machine)
    costs = random_costs(precisions, 5)
    runs = [search_of(precisions, machine, costs, FEW).run(Bounds(0.5), []) for _ in range(2)]
    assert runs[0] is not None
    assert runs[1] is not None
    assert runs[0].choice_S == runs[1].choice_S
    assert runs[0].homes_T.tolist() == runs[1].homes_T.tolist()


class _Worse(Trial):
    """Measures so many times what the sum of parts predicts."""

    factor: float
    costs: ChoiceCosts

    def error(self, choice_S: tuple[int, ...]) -> float:
        found = self.measured[choice_S] = self.factor * self.costs.error(choice_S)
        return found


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_choice_is_repaired_where_the_sum_of_parts_is_wrong(factor: float) -> None:
    machine = small_machine(24 << 10)
    model = chain([64, 128, 128, 160, 64])
    precisions = precisions_of(model, machine)
    costs = random_costs(precisions, 7)
    data = Data((), OnnxRuntimeRunner(), 0, False, GRIDS[1])
    trial = _Worse(model, precisions, Rtn(), (), data, Reference(model, ()), Execution())
    trial.factor, trial.costs = factor, costs
    goal = Goal(Target(machine, "fp16"), 0.6, None, 0)
    options = AutoOptions(nodes=20, rounds=3, evaluations=200)
    best = Choosing(goal, options, precisions, costs, trial, "a test").best()
    assert trial.error(best.choice_S) <= 0.6
    # As good as a search that knows the real errors.
    search = search_of(precisions, machine, costs, Effort(20, 0.0, 3, 200))
    known = search.run(Bounds(0.6 / factor), [])
    assert known is not None
    assert best.latency_s <= known.latency_s * 1.02


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 4), st.floats(0.1, 0.9))
def test_knapsack_keeps_to_its_budgets_and_is_near_the_best(
    seed: int, products: int, precisions: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    seconds_SP = rng.random((products, precisions))
    weight_SPB = rng.random((products, precisions, 1))
    room_B = share * weight_SPB.max(axis=1).sum(axis=0)
    grid = np.stack(np.meshgrid(*[np.arange(precisions)] * products, indexing="ij"), axis=-1)
    choices = grid.reshape(-1, products)
    used = weight_SPB[np.arange(products), choices, 0].sum(axis=1)
    cost = seconds_SP[np.arange(products), choices].sum(axis=1)
    found = cheapest(seconds_SP, weight_SPB, room_B)
    if found is None:
        assert not (used <= room_B[0]).any()
        return
    assert weight_SPB[np.arange(products), found, 0].sum() <= room_B[0]
    best = cost[used <= room_B[0]].min()
    # The relaxation splits one product at most.
    spread = float((seconds_SP.max(axis=1) - seconds_SP.min(axis=1)).max())
    assert seconds_SP[np.arange(products), found].sum() <= best + spread + 1e-12


def _compiled(tmp_path: Path, name: str, **bounds: float | int) -> dict[str, object]:
    onnx.save(chain_model([128, 512, 512, 128], rows=2), tmp_path / "m.onnx")
    out = tmp_path / name
    compile_model(
        tmp_path / "m.onnx", out=out, target="ethos-u65-512", budget="500ev",
        compress=["auto:rtn,rounds=4,evaluations=300"],
        **bounds,  # type: ignore[arg-type]
    )  # fmt: skip
    manifest: dict[str, object] = msgspec.json.decode((out / "manifest.json").read_bytes())
    return manifest


def test_compile_keeps_to_the_measured_error(tmp_path: Path) -> None:
    manifest = _compiled(tmp_path, "a.egrl", max_error=0.3)
    record = next(p for p in manifest["passes"] if p["name"] == "auto")  # type: ignore[attr-defined]
    assert 0 < record["error"] <= 0.3
    assert float(record["options"]["predicted_error"]) > 0
    assert "kept" in record["options"]["chosen"]


def test_two_bits_are_a_choice_and_never_where_their_kernel_is_wrong(tmp_path: Path) -> None:
    onnx.save(chain_model([64, 510, 512, 64], rows=2), tmp_path / "m.onnx")
    compile_model(
        tmp_path / "m.onnx", out=tmp_path / "a.egrl", target="ethos-u65-512", budget="300ev",
        compress=["auto:rtn,grids=2x32/8x32,rounds=2,evaluations=100"], max_bytes=115_000,
    )  # fmt: skip
    record = msgspec.json.decode((tmp_path / "a.egrl" / "manifest.json").read_bytes())
    layers = record["compression"]["main"][0]["layers"]
    assert {layer["bits"] for layer in layers} == {2, 4}


def test_compile_is_deterministic(tmp_path: Path) -> None:
    first = _compiled(tmp_path, "a.egrl", max_error=0.3)
    second = _compiled(tmp_path, "b.egrl", max_error=0.3)
    assert first == second
    names = sorted(p.relative_to(tmp_path / "a.egrl") for p in (tmp_path / "a.egrl").rglob("*"))
    for name in names:
        one, two = tmp_path / "a.egrl" / name, tmp_path / "b.egrl" / name
        if one.is_file():
            assert one.read_bytes() == two.read_bytes(), name


def test_bounds_that_nothing_meets_are_unmet(tmp_path: Path) -> None:
    with pytest.raises(UnmetRequirementError, match="--max-bytes 100"):
        _compiled(tmp_path, "a.egrl", max_bytes=100)
    with pytest.raises(UnmetRequirementError, match=r"--max-error 1e-12 and --max-bytes 300000"):
        _compiled(tmp_path, "b.egrl", max_error=1e-12, max_bytes=300_000)


def test_a_bound_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected --max-error or --max-bytes"):
        _compiled(tmp_path, "a.egrl")


def test_a_model_without_a_choice_is_refused(tmp_path: Path) -> None:
    onnx.save(one_convolution(), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="may be chosen, got none; convolutions have one with"):
        compile_model(
            tmp_path / "m.onnx", out=tmp_path / "a.egrl", target="nnp-i",
            compress=["auto"], max_error=0.1,
        )  # fmt: skip
    assert not (tmp_path / "a.egrl").exists()


def test_bytes_are_only_for_auto(tmp_path: Path) -> None:
    onnx.save(chain_model([64, 64]), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="--max-bytes"):
        compile_model(
            tmp_path / "m.onnx", out=tmp_path / "a.egrl", target="nnp-i",
            compress=["int4:rtn"], max_bytes=1000,
        )  # fmt: skip


def test_grids_are_checked(tmp_path: Path) -> None:
    onnx.save(chain_model([64, 64]), tmp_path / "m.onnx")
    for text, said in (("4x32/4x32", "twice"), ("4", "BITSxGROUP"), ("5x32", "bits=5")):
        with pytest.raises(InputError, match=said):
            compile_model(
                tmp_path / "m.onnx", out=tmp_path / "a.egrl", target="nnp-i",
                compress=[f"auto:rtn,grids={text}"], max_error=0.1,
            )  # fmt: skip


def test_union_of_precisions_is_no_precision_more() -> None:
    machine = small_machine(64 << 10)
    precisions = precisions_of(chain([64, 64, 64]), machine)
    for p in range(precisions.count):
        problem = build_problem(precisions.workload(precisions.uniform(p)), machine)
        assert problem.workload == precisions.choices.workloads[p]
    assert len(GRIDS) == precisions.count - 1


def test_tied_embedding_stays_and_its_product_has_integers_of_its_own() -> None:
    model = chain([64, 96, 64])
    graph = model.graph
    rows = ir.Value(name="rows", shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.INT64))
    first = next(node for node in graph if node.name == "product0")
    table = first.inputs[1]
    assert table is not None
    lookup = ir.node("Gather", [table, rows], {"axis": 1}, name="lookup")
    lookup.outputs[0].name = "looked_up"
    lookup.outputs[0].shape, lookup.outputs[0].dtype = ir.Shape([64, 1]), ir.DataType.FLOAT
    graph.inputs.append(rows)
    graph.outputs.append(lookup.outputs[0])
    graph.append(lookup)
    precisions = precisions_of(model, small_machine(64 << 10))
    costs = random_costs(precisions, 1)
    for choice_S in ((0, 0), (2, 0), (2, 2)):
        workload = precisions.workload(choice_S)
        assert workload.weight_bytes == costs.weight_bytes(choice_S)
        assert "w0" in {tensor.name for tensor in workload.tensors}
