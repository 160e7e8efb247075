"""Generated workloads are well formed, of the size asked for, and can be placed."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from accelerator_sim.engine import evaluate
from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import build_problem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.targets import load_target
from accelerator_sim.validate import check_plan
from egrl.generator.named import NAMED
from egrl.generator.workloads.registry import FAMILIES, SMALLEST, generate_workload
from egrl.placers import PLACERS
from egrl.placers.acts_first import acts_first_order
from egrl.placers.base import Budget
from egrl.placers.constructive import fewest_bytes_first
from egrl.placers.decoder import build_decoder
from graph_ir.errors import InputError
from graph_ir.workload import OpFamily, TensorKind, Workload
from tests.generator.support import check

# What a reader expects to find in a network of the family.
TYPICAL: dict[str, set[OpFamily]] = {
    "chain": {OpFamily.CONV, OpFamily.POOLING, OpFamily.MATMUL},
    "residual": {OpFamily.CONV, OpFamily.POOLING, OpFamily.REDUCTION, OpFamily.MATMUL},
    "depthwise": {OpFamily.CONV, OpFamily.REDUCTION, OpFamily.MATMUL},
    "branchy": {OpFamily.CONV, OpFamily.POOLING, OpFamily.MOVEMENT},
    "dense": {OpFamily.CONV, OpFamily.ELEMENTWISE, OpFamily.MOVEMENT},
    "encoder": {OpFamily.MATMUL, OpFamily.ATTENTION, OpFamily.NORMALIZATION},
    "decoder": {OpFamily.MATMUL, OpFamily.ATTENTION, OpFamily.NORMALIZATION, OpFamily.GATHER},
    "decoder_cache": {OpFamily.MATMUL, OpFamily.ATTENTION, OpFamily.GATHER},
    "unet": {OpFamily.CONV, OpFamily.POOLING},
    "detector": {OpFamily.CONV, OpFamily.RESIZE},
    "recurrent": {OpFamily.MATMUL, OpFamily.ELEMENTWISE},
}
LARGEST_BLOCK = 7
"""Half the ops of the largest block: what rounding to whole blocks may add or leave out."""


def digest(workload: Workload) -> str:
    return hashlib.sha256(repr((workload.ops, workload.tensors)).encode()).hexdigest()


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("ops", [20, 33, 70, 150, 420])
def test_a_workload_is_well_formed_and_of_the_size_asked_for(family: str, ops: int) -> None:
    for seed in range(2 + 200 // ops):
        execution_type = ("fp16", "int8")[seed % 2]
        workload = generate_workload(family, ops, execution_type, np.random.default_rng(seed))
        check(workload)
        assert abs(len(workload.ops) - ops) <= max(LARGEST_BLOCK, ops / 10)
        assert {op.execution_type for op in workload.ops} == {execution_type}
        assert TYPICAL[family] <= {op.family for op in workload.ops}
        assert 1e4 < workload.weight_bytes < 8e9
        assert max(t.size_bytes for t in workload.tensors) < 2e9


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_deep_workloads(family: str) -> None:
    workload = generate_workload(family, 1500, "fp16", np.random.default_rng(3))
    check(workload)
    assert abs(len(workload.ops) - 1500) <= 40
    assert workload.weight_bytes < 8e9


def test_every_family_is_described() -> None:
    assert sorted(TYPICAL) == sorted(FAMILIES)


def test_caches_are_states_or_inputs_and_outputs() -> None:
    found = set()
    for seed in range(20):
        workload = generate_workload("decoder_cache", 40, "fp16", np.random.default_rng(seed))
        states = [t for t in workload.tensors if t.kind is TensorKind.STATE]
        written = [t for t in workload.tensors if t.kind is TensorKind.IO and t.start > 0]
        layers = sum(op.family is OpFamily.ATTENTION for op in workload.ops)
        assert (len(states), len(written)) in ((2 * layers, 1), (0, 2 * layers + 1))
        found.add(bool(states))
        assert all(op.mac_work[0].rows == 1 for op in workload.ops if op.family == "matmul")
    assert found == {False, True}


def test_some_weights_serve_several_ops() -> None:
    def shared(family: str, seed: int) -> int:
        workload = generate_workload(family, 60, "fp16", np.random.default_rng(seed))
        readers: dict[int, int] = {}
        for op in workload.ops:
            for operand in op.operands:
                if workload.tensors[operand.tensor].kind is TensorKind.WEIGHT:
                    readers[operand.tensor] = readers.get(operand.tensor, 0) + 1
        return sum(
            count > 1 and workload.tensors[t].size_bytes > 10_000 for t, count in readers.items()
        )

    assert shared("recurrent", 0) >= 2
    tied = [shared("decoder_cache", seed) > 0 for seed in range(12)]
    assert any(tied)
    assert not all(tied)
    assert any(shared("encoder", seed) > 2 for seed in range(40))


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("target", ["nnp-i-partitioned", "tpu-v4i", "ethos-u65-512"])
def test_it_is_placed_priced_alike_by_both_engines_and_planned(family: str, target: str) -> None:
    accelerator = load_target(target)
    execution_type = accelerator.default_type
    workload = generate_workload(family, 40, execution_type, np.random.default_rng(5))
    problem = build_problem(workload, accelerator)
    for name in ("native", "acts-first", "all-outermost"):
        result = PLACERS[name]().place(problem, Budget(evaluations=1), np.random.default_rng(0))
        timeline = simulate(problem, result.homes_T.tolist())
        latency_s, overflow_bytes = evaluate(problem, result.homes_T)
        assert overflow_bytes <= 0
        assert latency_s == pytest.approx(timeline.latency_s, rel=1e-9)
        check_plan(build_plan(problem, result.homes_T.tolist(), timeline))


_PROGRAM = """
import hashlib
import numpy as np
from egrl.generator.workloads.registry import FAMILIES, generate_workload
for family in sorted(FAMILIES):
    workload = generate_workload(family, 60, "int8", np.random.default_rng(11))
    print(hashlib.sha256(repr((workload.ops, workload.tensors)).encode()).hexdigest())
"""


def test_the_same_seed_gives_the_same_bytes_in_every_process() -> None:
    results = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        program = [sys.executable, "-c", _PROGRAM]
        done = subprocess.run(
            program, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        results.append(done.stdout.split())
    here = [
        digest(generate_workload(family, 60, "int8", np.random.default_rng(11)))
        for family in sorted(FAMILIES)
    ]
    assert results == [here, here]
    assert len(set(here)) == len(here)


def test_named_workloads_have_about_the_ops_of_their_names() -> None:
    for name in ("residual-2000", "dense-2000"):
        workload = NAMED[name]()
        check(workload)
        assert abs(len(workload.ops) - int(name.rsplit("-", 1)[1])) <= 20
    for name in NAMED:
        family = name.rsplit("-", 1)[0].replace("-", "_")
        assert family in FAMILIES


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "dense-2000" else pytest.mark.slow) for name in NAMED],
)
def test_one_sort_is_not_enough_for_a_named_workload(name: str) -> None:
    problem = build_problem(NAMED[name](), load_target("nnp-i"))
    decoder = build_decoder(problem)
    order = acts_first_order(problem, decoder)
    homes_T = decoder.decode(order, fewest_bytes_first(problem))
    ideal_s, _ = evaluate(problem, decoder.values.ideal_T.astype(np.int8))
    assert evaluate(problem, homes_T)[0] >= 1.05 * ideal_s


def test_what_is_asked_for_wrongly() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="family star: unknown; expected one of chain, "):
        generate_workload("star", 100, "fp16", rng)
    with pytest.raises(InputError, match=f"ops: expected at least {SMALLEST}, got 5"):
        generate_workload("chain", 5, "fp16", rng)
