"""Plans executed with their transfers give onnxruntime's bytes."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from accelerator_sim.plan import STAGING_TENSOR
from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.rectify import build_rectifier
from accelerator_sim.reference_engine import simulate
from accelerator_sim.targets import load_target
from egrl.placers.random_search import random_homes
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.load import load_model
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.save import save_models
from runtime.op_sessions import EXACT
from runtime.session import input_ports, make_session, run_session
from runtime.tiered.machine import LoadedModel, Overlap, TieredMachine
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS
from tests.tiered.machines import tiny_machine

MODELS = ("resnet_bottleneck", "bert_layer", "tied_embedding", "squeeze_excite", "gru")


class Case:
    """A tiny model on the small machine, and what onnxruntime says of it."""

    def __init__(self, name: str, folder: Path) -> None:
        onnx.save(TINY_MODELS[name](), folder / "source.onnx")
        loaded = load_model(folder / "source.onnx", TINY_DIMS.get(name, {}))
        run_lossless(loaded.graph_model)
        save_models({"main": loaded.graph_model}, folder)
        session = make_session(folder / "main.onnx", EXACT, prepack=False)
        rng = np.random.default_rng(3)
        self.inputs = {
            port.name: (
                rng.standard_normal(port.shape).astype(port.dtype)
                if port.dtype.kind == "f"
                else rng.integers(0, 2, port.shape).astype(port.dtype)
            )
            for port in input_ports(session)
        }
        self.expected = run_session(session, self.inputs)
        self.model = LoadedModel(loaded.graph_model)
        workload = lower(loaded, "main", "fp32", frozenset()).workload
        self.problem = build_problem(workload, tiny_machine())

    def random_homes(self, seed: int) -> list[int]:
        drawn = random_homes(self.problem, 1, np.random.default_rng(seed))
        batch = build_rectifier(self.problem).batch(drawn)
        assert batch.fits_P[0]
        homes: list[int] = batch.homes_PT[0].tolist()
        return homes


@pytest.fixture(params=MODELS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return Case(str(request.param), tmp_path)


@pytest.mark.parametrize("overlap", ["tiles", "whole"])
def test_random_plans_compute_what_onnxruntime_computes(case: Case, overlap: Overlap) -> None:
    streamed = executed = 0
    for seed in range(4):
        homes = case.random_homes(seed)
        try:
            plan = build_plan(case.problem, homes, simulate(case.problem, homes))
        except UnmetRequirementError:
            continue
        executed += 1
        streamed += any(tensor.name == STAGING_TENSOR for tensor in plan.tensors)
        with TieredMachine(case.model, case.problem, homes, plan, overlap) as machine:
            for _ in range(2):
                machine.set_inputs(case.inputs)
                inference = machine.run()
                for name, expected in case.expected.items():
                    np.testing.assert_array_equal(machine.outputs()[name], expected)
            assert len(inference.ops) == case.problem.op_count
            assert 0.0 < sum(op.compute_s for op in inference.ops) < inference.latency_s
    assert executed
    assert streamed


def charged_bytes(problem: PlacementProblem, homes: list[int], tier: int) -> float:
    """What one inference reads and writes there, by the engine's own count."""
    timeline = simulate(problem, homes)
    return float(timeline.tiers[tier].read_bytes + timeline.tiers[tier].written_bytes)


def test_the_bytes_that_move_are_those_that_the_engine_charges(case: Case) -> None:
    outermost = [int(np.flatnonzero(row)[0]) for row in case.problem.allowed_TH]
    plan = build_plan(case.problem, outermost, simulate(case.problem, outermost))
    with TieredMachine(case.model, case.problem, outermost, plan) as machine:
        machine.set_inputs(case.inputs)
        machine.run()
        once = machine.moved_bytes()["FILE"]
        machine.set_inputs(case.inputs)
        machine.run()
        assert machine.moved_bytes()["FILE"] == 2 * once
        assert machine.moved_bytes()["SLOW"] == 0
    charged = charged_bytes(case.problem, outermost, 0)
    # Token ids are wider on the host than in the plan, and slices are cut at whole bytes.
    assert 0.98 * charged <= once <= 1.3 * charged


def test_whole_mode_computes_on_the_bytes_that_were_moved(tmp_path: Path) -> None:
    """Weights that are changed in their home after binding reach the op by the copies alone."""
    case = Case("resnet_bottleneck", tmp_path)
    outermost = [int(np.flatnonzero(row)[0]) for row in case.problem.allowed_TH]
    plan = build_plan(case.problem, outermost, simulate(case.problem, outermost))
    outputs = {}
    for moved in (True, False):
        with TieredMachine(case.model, case.problem, outermost, plan, "whole") as machine:
            machine.set_inputs(case.inputs)
            if not moved:
                for limiter in machine._memories.limiters.values():
                    limiter.transfer = lambda *_args, **_kwargs: 0.0  # type: ignore[method-assign]
            machine.run()
            outputs[moved] = machine.outputs()
    name = next(iter(case.expected))
    np.testing.assert_array_equal(outputs[True][name], case.expected[name])
    assert not np.array_equal(outputs[False][name], case.expected[name])


def test_more_than_one_core_is_refused(tmp_path: Path) -> None:
    case = Case("squeeze_excite", tmp_path)
    problem = build_problem(case.problem.workload, load_target("nnp-i"))
    homes = [0] * problem.tensor_count
    plan = build_plan(problem, homes, simulate(problem, homes))
    with pytest.raises(InputError, match="1 core, got 12"):
        TieredMachine(case.model, problem, homes, plan)


def test_inputs_of_another_size_are_refused(tmp_path: Path) -> None:
    case = Case("squeeze_excite", tmp_path)
    homes = case.random_homes(0)
    plan = build_plan(case.problem, homes, simulate(case.problem, homes))
    name, array = next(iter(case.inputs.items()))
    with (
        TieredMachine(case.model, case.problem, homes, plan) as machine,
        pytest.raises(InputError, match=r"expected .* bytes, got"),
    ):
        machine.set_inputs({name: array[..., :-1]})


def test_an_error_in_a_copy_thread_ends_the_inference(tmp_path: Path) -> None:
    case = Case("resnet_bottleneck", tmp_path)
    outermost = [int(np.flatnonzero(row)[0]) for row in case.problem.allowed_TH]
    plan = build_plan(case.problem, outermost, simulate(case.problem, outermost))
    with TieredMachine(case.model, case.problem, outermost, plan) as machine:
        machine.set_inputs(case.inputs)

        def fail(*_args: object) -> None:
            raise OSError("no such memory")

        machine._memories.read = fail  # type: ignore[method-assign]
        with pytest.raises(OSError, match="no such memory"):
            machine.run()
