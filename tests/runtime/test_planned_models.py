"""Models of every exporter form, placed at random on small memories: plans hold when executed."""

import json
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.addresses import has_addresses
from accelerator_sim.engine import evaluate
from accelerator_sim.plan import STAGING_TENSOR, Plan, PlanTensor
from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.targets import load_target
from accelerator_sim.validate import find_violations
from graph_ir.errors import InputError
from graph_ir.load import load_model
from graph_ir.lower import lower
from graph_ir.save import save_models
from runtime.arena import PlanViolationError
from runtime.check_plan import Flip, check_plan
from runtime.manifest import Execution
from runtime.session import input_ports, make_session
from runtime.verify_graph import check_plan_matches_graph, read_graph
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS

MODELS = (
    "resnet_bottleneck",
    "squeeze_excite",
    "slice_concat_split",
    "qdq_conv",
    "bert_layer",
    "decoder_step",
    "tied_embedding",
    "gru",
    "int4_matmul",
    "dynamic_quantization",
    "contrib_bert_layer",
    "half_precision",
)
TARGETS = (("nnp-i", "fp16"), ("nnp-i-partitioned", "fp16"), ("ethos-u65-512", "int8"))


def small_target(name: str) -> Accelerator:
    """A target whose inner memories are so small that weights stream through a few slices."""
    target = load_target(name)
    streaming = msgspec.structs.replace(target.streaming, slice_bytes=256, staging_bytes=1024)
    tiers = [
        msgspec.structs.replace(
            tier, capacity_bytes=msgspec.structs.replace(tier.capacity_bytes, value=8192 * 2**index)
        )
        for index, tier in enumerate(reversed(target.tiers[1:]))
    ]
    return msgspec.structs.replace(
        target, streaming=streaming, tiers=[target.tiers[0], *reversed(tiers)]
    )


def random_plan(problem: PlacementProblem, rng: np.random.Generator) -> Plan:
    """A plan whose tensors lie wherever they happen to fit."""
    homes_T = np.zeros(problem.tensor_count, np.int8)
    for tensor in rng.permutation(problem.free_tensors):
        old = homes_T[tensor]
        homes_T[tensor] = rng.choice(np.flatnonzero(problem.allowed_TH[tensor]))
        if evaluate(problem, homes_T)[1] > 0 or not has_addresses(problem, homes_T):
            homes_T[tensor] = old
    homes = homes_T.tolist()
    return build_plan(problem, homes, simulate(problem, homes))


@pytest.fixture(params=MODELS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The name of a tiny model, and the file that a compiler would write for it."""
    name = str(request.param)
    onnx.save(TINY_MODELS[name](), tmp_path / "source.onnx")
    model = load_model(tmp_path / "source.onnx", TINY_DIMS.get(name, {}))
    save_models({"main": model.graph_model}, tmp_path)
    return name, tmp_path / "main.onnx"


def random_inputs(path: Path, rng: np.random.Generator) -> dict[str, np.ndarray]:
    inputs = {}
    for port in input_ports(make_session(path, Execution(optimization_level="disable"))):
        if port.dtype.kind == "f":
            inputs[port.name] = rng.standard_normal(port.shape).astype(port.dtype)
        else:
            inputs[port.name] = rng.integers(0, 2, port.shape).astype(port.dtype)
    return inputs


def problem_of(path: Path, target: str, execution_type: str) -> PlacementProblem:
    accelerator = small_target(target)
    streamed = frozenset(accelerator.streamed_views)
    lowered = lower(load_model(path), "main", execution_type, streamed)
    return build_problem(lowered.workload, accelerator)


@pytest.mark.parametrize(("target", "execution_type"), TARGETS)
def test_random_placements_execute_exactly(
    case: tuple[str, Path], target: str, execution_type: str
) -> None:
    name, path = case
    rng = np.random.default_rng(sum(map(ord, name + target)))
    plan = random_plan(problem_of(path, target, execution_type), rng)
    check_plan_matches_graph(plan, read_graph(path), name)
    result = check_plan(path, plan, random_inputs(path, rng))
    assert result.sound
    assert all(difference.exact for difference in result.differences)


def overlapping(plan: Plan, rng: np.random.Generator) -> Plan:
    """The plan with one activation moved onto another that lives beside it."""
    moved = [t for t in plan.tensors if t.kind == "activation" and t.size_bytes]
    pairs = [
        (a, b)
        for a in moved
        for b in moved
        if a is not b
        and a.residences[0].start < b.residences[0].end
        and b.residences[0].start < a.residences[0].end
    ]
    first, second = pairs[rng.integers(len(pairs))]
    tensors = [
        msgspec.structs.replace(
            second,
            residences=[
                msgspec.structs.replace(
                    second.residences[0],
                    tier=first.residences[0].tier,
                    mode=first.residences[0].mode,
                    offset=first.residences[0].offset,
                )
            ],
        )
        if tensor is second
        else tensor
        for tensor in plan.tensors
    ]
    return msgspec.structs.replace(plan, tensors=tensors)


@pytest.mark.parametrize("case", ["resnet_bottleneck", "bert_layer"], indirect=True)
def test_live_tensors_laid_over_each_other_give_wrong_outputs(case: tuple[str, Path]) -> None:
    _, path = case
    rng = np.random.default_rng(5)
    plan = random_plan(problem_of(path, "nnp-i", "fp16"), rng)
    inputs = random_inputs(path, rng)
    for _ in range(8):
        assert not check_plan(path, overlapping(plan, rng), inputs).sound


@pytest.mark.parametrize("case", ["resnet_bottleneck", "bert_layer"], indirect=True)
def test_a_flipped_byte_of_any_live_tensor_changes_the_output(case: tuple[str, Path]) -> None:
    _, path = case
    rng = np.random.default_rng(6)
    plan = random_plan(problem_of(path, "nnp-i", "fp32"), rng)
    inputs = random_inputs(path, rng)
    readers = {
        name: index for index, op in reversed(list(enumerate(plan.ops))) for name in op.reads
    }
    # A negative input of a rectifier may change unseen: most bytes must be seen, not each.
    seen = tried = 0
    for tensor in plan.tensors:
        if tensor.name in readers and tensor.kind in ("activation", "io") and tensor.size_bytes:
            place = tensor.residences[0]
            # Of the first few elements: the classifier looks at the first token only. The most
            # significant of the four bytes, whatever the arena's scale.
            byte = place.offset + 4 * int(rng.integers(min(4, tensor.size_bytes // 4))) + 3
            flip = Flip(place.tier, byte, readers[tensor.name])
            tried += 1
            try:
                seen += not check_plan(path, plan, inputs, flip).differences[0].exact
            except PlanViolationError:
                seen += 1  # An index that points nowhere.
    assert tried >= 5
    assert seen >= 0.8 * tried


@pytest.mark.parametrize("case", ["bert_layer"], indirect=True)
def test_streamed_weights_pass_through_the_ring(case: tuple[str, Path]) -> None:
    _, path = case
    rng = np.random.default_rng(3)
    problem = problem_of(path, "nnp-i", "fp16")
    homes = [0] * problem.tensor_count
    plan = build_plan(problem, homes, simulate(problem, homes))
    inputs = random_inputs(path, rng)
    result = check_plan(path, plan, inputs)
    assert result.sound
    steady = [copy for copy in plan.copies if copy.phase == "steady"]
    assert result.streamed_bytes == sum(copy.size_bytes for copy in steady)
    # Late slices and prefetched ones.
    assert {copy.before_op - copy.after_op for copy in steady} >= {1}
    ring = next(tensor for tensor in plan.tensors if tensor.name == STAGING_TENSOR)
    squeezed = [
        msgspec.structs.replace(copy, to_offset=ring.residences[0].offset)
        if copy in steady and copy.before_op > copy.after_op
        else copy
        for copy in plan.copies
    ]
    # All slices to one slot: those that wait there are overwritten.
    broken = check_plan(path, msgspec.structs.replace(plan, copies=squeezed), inputs)
    prefetched = [c for c in steady if c.tensor not in plan.ops[c.after_op].reads]
    assert broken.sound == (len(prefetched) < 2)
    # One of several slices of a weight is missing: its bytes are, too.
    one = next(copy for copy in steady if sum(c.tensor == copy.tensor for c in steady) > 1)
    without = msgspec.structs.replace(
        plan, copies=[copy for copy in plan.copies if copy is not one]
    )
    assert not check_plan(path, without, inputs).sound


@pytest.mark.parametrize("case", ["resnet_bottleneck", "decoder_step"], indirect=True)
def test_what_the_validator_accepts_executes(case: tuple[str, Path]) -> None:
    """Activations moved at random: a plan that is still valid gives the same bytes."""
    name, path = case
    rng = np.random.default_rng(len(name))
    plan = random_plan(problem_of(path, "nnp-i", "fp16"), rng)
    inputs = random_inputs(path, rng)
    candidates = [t for t in plan.tensors if t.kind == "activation" and t.size_bytes]
    verdicts = set()
    for _ in range(40):
        tensor = candidates[rng.integers(len(candidates))]
        place = tensor.residences[0]
        changed = [
            msgspec.structs.replace(place, offset=64 * int(rng.integers(0, 60))),
            msgspec.structs.replace(place, tier="LLC", mode="shared"),
            msgspec.structs.replace(place, start=place.start + int(rng.integers(-1, 2))),
            msgspec.structs.replace(place, end=place.end + int(rng.integers(-1, 2))),
        ][rng.integers(4)]
        mutated = replaced(plan, msgspec.structs.replace(tensor, residences=[changed]))
        valid = not find_violations(mutated)
        sound = is_sound(path, mutated, inputs)
        assert sound or not valid
        verdicts.add((valid, sound))
    assert {(True, True), (False, False)} <= verdicts


def replaced(plan: Plan, tensor: PlanTensor) -> Plan:
    tensors = [tensor if known.name == tensor.name else known for known in plan.tensors]
    return msgspec.structs.replace(plan, tensors=tensors)


def is_sound(path: Path, plan: Plan, inputs: dict[str, np.ndarray]) -> bool:
    try:
        return check_plan(path, plan, inputs).sound
    except PlanViolationError:
        return False


@pytest.mark.parametrize("case", ["decoder_step"], indirect=True)
def test_absurd_plans_end_in_one_line(case: tuple[str, Path]) -> None:
    """No validator before it: whatever the numbers and names, no traceback and no huge memory."""
    _, path = case
    rng = np.random.default_rng(8)
    plan = random_plan(problem_of(path, "nnp-i", "fp16"), rng)
    inputs = random_inputs(path, rng)
    text = json.loads(msgspec.json.encode(plan))
    for _ in range(80):
        mutated = json.loads(json.dumps(text))
        part = mutated[["tiers", "tensors", "tensors", "copies", "ops"][rng.integers(5)]]
        item = part[rng.integers(len(part))]
        if "residences" in item and rng.integers(2):
            item = item["residences"][0]
        key = sorted(item)[rng.integers(len(item))]
        if isinstance(item[key], int):
            item[key] = [-1, 0, 1, 7, 1 << 33, 1 << 62, 1 << 70][rng.integers(7)]
        elif isinstance(item[key], list):
            item[key] = item[key][1:]
        elif isinstance(item[key], str):
            names = [tensor["name"] for tensor in text["tensors"]]
            item[key] = ["", "LLC", "nowhere", names[rng.integers(len(names))]][rng.integers(4)]
        try:
            check_plan(path, msgspec.convert(mutated, Plan), inputs, None, 1 << 26)
        except (InputError, msgspec.ValidationError) as error:
            assert "\n" not in str(error)  # noqa: PT017
