"""Plans: every streamed byte arrives, in time, and nothing is overwritten before it is used."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.traffic import operand_use
from accelerator_sim.engine import evaluate
from accelerator_sim.plan import IMAGE_TENSOR, STAGING_TENSOR, Copy, Plan
from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.rectify import rectify
from accelerator_sim.reference_engine import simulate, uses_staging
from accelerator_sim.targets import load_target
from accelerator_sim.timeline import Timeline
from accelerator_sim.validate import find_violations
from graph_ir.errors import UnmetRequirementError
from graph_ir.workload import TensorKind
from tests.accelerator_sim.cases import problems, random_homes, varied_workload
from tests.accelerator_sim.machines import TARGETS, quantity, scaled, with_streaming

Planned = tuple[PlacementProblem, list[int], Timeline, Plan]


def planned(problem: PlacementProblem, seed: int) -> Planned | None:
    """A plan of a random placement, rectified where it does not fit."""
    homes_T = random_homes(problem, np.random.default_rng(seed), 1)[0]
    try:
        if evaluate(problem, homes_T)[1] > 0:
            homes_T = rectify(problem, homes_T).homes_T
        homes: list[int] = homes_T.tolist()
        timeline = simulate(problem, homes)
        return problem, homes, timeline, build_plan(problem, homes, timeline)
    except UnmetRequirementError:
        return None  # It does not fit, or has no addresses.


def steady(plan: Plan) -> list[Copy]:
    return [copy for copy in plan.copies if copy.phase == "steady"]


def streams(planned: Planned) -> dict[tuple[int, str], int]:
    """Passes over each tensor that an op streams whole."""
    problem, homes, timeline, _ = planned
    inner = len(problem.accelerator.tiers) - 1
    result: dict[tuple[int, str], int] = defaultdict(int)
    for i, op in enumerate(problem.workload.ops):
        trace = timeline.ops[i]
        variant = next(
            v
            for v in problem.variants_N[i]
            if (v.split, v.loop_order) == (trace.split, trace.loop_order)
        )
        for operand, passes in zip(op.operands, variant.passes, strict=True):
            tensor = problem.workload.tensors[operand.tensor]
            home = problem.homes[homes[operand.tensor]]
            ratio = float(problem.stored_ratio_T[operand.tensor])
            use = operand_use(
                operand, tensor.kind, home, variant, passes, problem.accelerator, ratio
            )
            if (
                use.stream_tier >= 0
                and home.tier != inner
                and operand.traffic_bytes >= tensor.size_bytes > 0
            ):
                result[i, tensor.name] += use.fetches
    return dict(result)


def check_copies(planned: Planned) -> None:
    problem, homes, _, plan = planned
    accelerator = problem.accelerator
    wanted = streams(planned)
    tensors = {tensor.name: tensor for tensor in plan.tensors}
    sizes = {tensor.name: tensor.size_bytes for tensor in problem.workload.tensors}
    copies = steady(plan)
    assert bool(wanted) <= bool(copies)
    assert (STAGING_TENSOR in tensors) == uses_staging(problem, homes)
    if not copies:
        return
    staging = tensors[STAGING_TENSOR].residences[0]
    slots = 2 * accelerator.streaming.slice_bytes
    slots_from = staging.offset + accelerator.streaming.staging_bytes - slots
    cores = accelerator.core_count
    came: dict[tuple[int, str], list[tuple[int, int]]] = defaultdict(list)
    held: list[tuple[int, int, int]] = []
    begun = 0
    for copy in copies:
        home = tensors[copy.tensor].residences[0]
        assert copy.from_tier == home.tier != staging.tier == copy.to_tier
        first = copy.from_offset - home.offset
        assert 0 <= first < first + copy.size_bytes <= sizes[copy.tensor]
        assert copy.size_bytes <= accelerator.streaming.slice_bytes
        per_core = -(-copy.size_bytes // cores) if copy.mode == "partitioned" else copy.size_bytes
        low, high = copy.to_offset, copy.to_offset + per_core
        late = low >= slots_from
        if late:
            assert high <= slots_from + slots
            assert copy.before_op == copy.after_op + 1
            op = copy.after_op
        else:
            assert staging.offset <= low < high <= slots_from
            op = copy.before_op
            assert 0 < op - copy.after_op <= accelerator.streaming.prefetch_ops
        assert copy.after_op >= begun, "copies of one channel are in order of time"
        begun = copy.after_op
        assert (op, copy.tensor) in wanted
        came[op, copy.tensor].append((first, first + copy.size_bytes))
        # What lies in the ring stays until the op that it is for has ended.
        held = [item for item in held if item[2] >= copy.after_op]
        if not late:
            assert not any(a < high and low < b for a, b, _ in held)
            held.append((low, high, op))
    assert set(came) == set(wanted)
    for key, passes in wanted.items():
        times = np.zeros(sizes[key[1]] + 1, np.int64)
        for low, high in came[key]:
            times[low] += 1
            times[high] -= 1
        assert (times.cumsum()[:-1] == passes).all(), key


def check_loads(planned: Planned) -> None:
    problem, homes, _, plan = planned
    tensors = {tensor.name: tensor for tensor in plan.tensors}
    loads = [copy for copy in plan.copies if copy.phase == "load"]
    inner_weights = [
        tensor.name
        for tensor, home in zip(problem.workload.tensors, homes, strict=True)
        if tensor.kind is TensorKind.WEIGHT
        and tensor.alias_of is None
        and problem.homes[home].tier > 0
    ]
    assert [copy.tensor for copy in loads] == inner_weights
    assert (IMAGE_TENSOR in tensors) == bool(loads)
    reached = 0
    for copy in loads:
        tensor, image = tensors[copy.tensor], tensors[IMAGE_TENSOR]
        assert copy.size_bytes == tensor.size_bytes
        home = tensor.residences[0]
        assert (copy.to_tier, copy.to_offset, copy.mode) == (home.tier, home.offset, home.mode)
        assert copy.from_tier == plan.tiers[0].name
        offset = copy.from_offset - image.residences[0].offset
        assert reached <= offset
        reached = offset + copy.size_bytes
        assert reached <= image.size_bytes


@settings(max_examples=100)
@given(problems(max_ops=12, wide=False), st.integers(0, 2**32 - 1))
def test_plans_of_random_placements(problem: PlacementProblem, seed: int) -> None:
    result = planned(problem, seed)
    if result is not None:
        check_copies(result)
        check_loads(result)
        assert find_violations(result[3]) == []


@st.composite
def hurried(draw: st.DrawFn) -> Accelerator:
    """Little to compute, so that streams stall and the ring is full."""
    base = load_target(draw(st.sampled_from(TARGETS[:2])))
    fast = replace(
        base,
        clock_hz=scaled(base.clock_hz, 100.0),
        cores=quantity(draw(st.sampled_from((1, 3, 12)))),
        interconnect=replace(base.interconnect, multicast=draw(st.booleans())),
    )
    slice_bytes = draw(st.sampled_from((64, 1000, 8192)))
    ring_bytes = draw(st.integers(0, 30_000))
    return with_streaming(fast, draw(st.integers(1, 8)), slice_bytes, 2 * slice_bytes + ring_bytes)


@settings(max_examples=60)
@given(problems(max_ops=12, machines=hurried(), wide=False), st.integers(0, 2**32 - 1))
def test_plans_that_prefetch(problem: PlacementProblem, seed: int) -> None:
    result = planned(problem, seed)
    assert result is not None
    check_copies(result)
    assert find_violations(result[3]) == []


def squeezed(target: str, slice_bytes: int, ring_bytes: int) -> Accelerator:
    accelerator = load_target(target)
    prefetch_ops = accelerator.streaming.prefetch_ops
    return with_streaming(accelerator, prefetch_ops, slice_bytes, 2 * slice_bytes + ring_bytes)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("ring_bytes", [0, 3333, 65536])
def test_plans_on_shipped_targets(target: str, ring_bytes: int) -> None:
    accelerator = squeezed(target, 4096, ring_bytes)
    workload = varied_workload(ring_bytes, 7, accelerator.default_type)
    problem = build_problem(workload, accelerator)
    made = 0
    for seed in range(3):
        result = planned(problem, seed)
        if result is not None:
            made += 1
            check_copies(result)
            check_loads(result)
            assert find_violations(result[3]) == []
    assert made >= 2
