"""What surrounds a search: budgets, constraints, and the problem as `egrl audit` reads it."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from accelerator_sim.engine import evaluate
from accelerator_sim.problem import build_problem
from accelerator_sim.targets import load_target
from egrl.audit.problem import read_problem
from egrl.bench.random_graphs import random_workload
from egrl.budget import parse_budget
from egrl.constraints import read_constraints
from egrl.placers.base import Budget
from egrl.write_problem import write_problem
from graph_ir.errors import InputError, UnmetRequirementError
from tests.accelerator_sim.machines import with_streaming
from tests.exact.small import with_capacity


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("30s", Budget(seconds=30)),
        ("0.5s", Budget(seconds=0.5)),
        ("4000ev", Budget(evaluations=4000)),
    ],
)
def test_budgets(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", "0s", "0ev", "-1s", "1.5ev", "1e3s", "nans", "30s\n", "3 s", "9" * 99 + "s"],
)
def test_bad_budgets(text: str) -> None:
    with pytest.raises(InputError, match="expected seconds or evaluations"):
        parse_budget(text)


def test_constraints(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    path.write_text('[pins]\n"a.weight" = "SRAM"\n', "utf-8")
    assert read_constraints(path).pins == {"a.weight": "SRAM"}


@pytest.mark.parametrize(
    "content",
    [
        b"[pins",
        b"[pin]\na = 'SRAM'",
        b"pins = 3",
        b"[pins]\na = 3",
        b"\xff",
        b"a = " + b"[" * 99_999,
    ],
)
def test_bad_constraints(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_constraints(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_constraints_that_are_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.toml", Path("/dev/zero")):
        with pytest.raises(InputError):
            read_constraints(path)


def test_pins() -> None:
    accelerator = load_target("nnp-i-partitioned")
    workload = random_workload(4, np.random.default_rng(0))
    free = build_problem(workload, accelerator)
    name = next(
        tensor.name
        for t, tensor in enumerate(workload.tensors)
        if tensor.kind == "weight" and free.allowed_TH[t].all()
    )
    for home, home_name in enumerate(["DRAM", "LLC", "SRAM", "SRAM/partitioned"]):
        pinned = build_problem(workload, accelerator, {name: home_name})
        t = [tensor.name for tensor in workload.tensors].index(name)
        assert np.flatnonzero(pinned.allowed_TH[t]).tolist() == [home]
        assert pinned.home_name(home) == home_name
    with pytest.raises(InputError, match="pin nothing: the workload has no such tensor"):
        build_problem(workload, accelerator, {"nothing": "SRAM"})
    with pytest.raises(InputError, match="has no home L2; it has DRAM, LLC, SRAM, SRAM/part"):
        build_problem(workload, accelerator, {name: "L2"})
    with pytest.raises(UnmetRequirementError, match="kind io may not live in SRAM"):
        build_problem(workload, accelerator, {"input": "SRAM"})
    with pytest.raises(InputError) as caught:
        build_problem(workload, accelerator, {"two\nlines": "SRAM"})
    assert "\n" not in str(caught.value)


def test_tensors_that_fit_nowhere() -> None:
    workload = random_workload(4, np.random.default_rng(0))
    accelerator = load_target("nnp-i")
    for tier in range(3):
        accelerator = with_capacity(accelerator, tier, 1000)
    with pytest.raises(UnmetRequirementError, match=r"tensor input needs .* DRAM, where inputs"):
        build_problem(workload, accelerator)
    # The outermost tier may be the small one.
    workload = random_workload(20, np.random.default_rng(0))
    room = max(x.size_bytes for x in workload.tensors if x.kind == "io") + 64
    large = [t for t, x in enumerate(workload.tensors) if x.size_bytes > room]
    assert large
    problem = build_problem(workload, with_capacity(load_target("nnp-i"), 0, room))
    assert not problem.allowed_TH[large, 0].any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pinned", [False, True])
def test_the_neutral_problem_prices_placements_as_the_engine_does(
    seed: int, pinned: bool, tmp_path: Path
) -> None:
    """Without prefetching, which it does not know, and for replicated homes."""
    target = load_target("nnp-i-partitioned" if pinned else "nnp-i")
    accelerator = with_streaming(target, 0, 64, 128)
    rng = np.random.default_rng(seed)
    workload = random_workload(5, rng)
    free = build_problem(workload, accelerator)
    pins = {}
    if pinned:
        t = int(free.free_tensors[0])
        home = int(np.flatnonzero(free.allowed_TH[t])[-1])
        pins = {workload.tensors[t].name: free.home_name(home)}
    problem = build_problem(workload, accelerator, pins)
    path = tmp_path / "problem.json"
    write_problem(problem, path)
    neutral = read_problem(path)
    assert [op.name for op in neutral.ops] == [op.name for op in workload.ops]
    assert {t.name for t in neutral.tensors} == {t.name for t in workload.tensors}
    tiers = [tier.name for tier in accelerator.tiers]
    for _ in range(4):
        homes_T = np.zeros(problem.tensor_count, np.int8)
        where = {}
        for t, tensor in enumerate(workload.tensors):
            allowed = np.flatnonzero(problem.allowed_TH[t])
            whole = [h for h in allowed if problem.homes[h].mode != "partitioned"] or [*allowed]
            homes_T[t] = rng.choice(whole)
            where[tensor.name] = tiers[problem.homes[homes_T[t]].tier]
            listed = next(x for x in neutral.tensors if x.name == tensor.name)
            assert where[tensor.name] in (listed.tiers or tiers)
        total = 0.0
        for op in neutral.ops:
            assert op.measured is not None
            total += next(
                c.seconds
                for c in op.measured.combinations
                if all(where[name] == tier for name, tier in c.homes.items())
            )
        assert total == pytest.approx(evaluate(problem, homes_T)[0], rel=1e-9)


def test_unwritable_problem(tmp_path: Path) -> None:
    problem = build_problem(random_workload(2, np.random.default_rng(0)), load_target("nnp-i"))
    with pytest.raises(InputError, match="cannot be written"):
        write_problem(problem, tmp_path / "none" / "problem.json")


def test_random_workloads_are_well_formed() -> None:
    for seed, wide in product(range(20), (True, False)):
        workload = random_workload(1 + seed * 2, np.random.default_rng(seed), "fp16", wide)
        written: set[int] = {0}
        for i, op in enumerate(workload.ops):
            for operand in op.operands:
                tensor = workload.tensors[operand.tensor]
                assert tensor.start <= i < tensor.end
                assert operand.traffic_bytes == tensor.size_bytes
                if operand.is_write:
                    written.add(operand.tensor)
                elif tensor.kind in ("activation", "io"):
                    assert operand.tensor in written
        again = random_workload(1 + seed * 2, np.random.default_rng(seed), "fp16", wide)
        assert again == workload
