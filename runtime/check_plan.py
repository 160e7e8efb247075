"""Execute a model op by op in the memory that its plan gives it, and compare the outputs.

Every input and output of every op is a view into one real buffer per tier at the planned offset.
Memory is poisoned before a tensor's first use and after its death, and nothing is kept anywhere
else: weights, states and graph inputs are written to their planned homes before the first op, and
the outputs are read from theirs after the last one. An error in the plan is wrong bytes in the
outputs.

Reference and ops are both executed without graph optimizations and without prepacked weights, by
one thread: then the same kernels see the same operands, the outputs are the same bytes, and any
difference is the plan's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from accelerator_sim.plan import IMAGE_TENSOR, STAGING_TENSOR, Plan, PlanTensor, Residence
from graph_ir.errors import InputError
from graph_ir.subgraph import SubgraphExtractor
from graph_ir.text import quoted
from runtime.arena import Arena, Bytes, PlanViolationError, make_arena
from runtime.compare import Difference, compare_outputs
from runtime.guards import Guards
from runtime.host_types import host_types
from runtime.load import Artifact
from runtime.op_runner import OpRunner
from runtime.op_sessions import EXACT
from runtime.session import check_inputs, input_ports, make_session, run_session
from runtime.tensor_map import TensorMap, scale_of
from runtime.transfers import Transfers

Array = NDArray[np.generic]
_Poisonings = list[list[tuple[PlanTensor, Residence]]]


@dataclass(frozen=True, slots=True)
class Flip:
    """A fault to inject: all bits of one planned byte, inverted when an op begins.

    Attributes:
        tier: name.
        byte: planned address, on every core.
        op: index; the number of ops means after the last one.
    """

    tier: str
    byte: int
    op: int


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came out of executing a plan.

    Attributes:
        differences: of every output from onnxruntime's.
        outputs: as the planned memory held them after the last op.
        scale: host bytes per planned byte.
        host_bytes: of all buffers.
        ops: executed.
        sessions: onnxruntime sessions that this took.
        streamed_bytes: planned bytes that ops took from the staging ring.
        gathered_operands: operands that had no contiguous place on one core, or that a declared
            alias made an op read and write at once; they were assembled for the op alone.
    """

    differences: tuple[Difference, ...]
    outputs: Mapping[str, Array]
    scale: int
    host_bytes: int
    ops: int
    sessions: int
    streamed_bytes: int
    gathered_operands: int

    @property
    def sound(self) -> bool:
        """True where every output is within its tolerance."""
        return all(difference.within for difference in self.differences)


def check_artifact_plan(
    artifact: Artifact,
    inputs: Mapping[str, Array],
    graph: str = "main",
    flip: Flip | None = None,
) -> CheckResult:
    """Check the plan of one graph of an artifact.

    Raises:
        InputError: the inputs do not fit the graph.
        PlanViolationError: the plan cannot be executed.
    """
    path = artifact.model_path(graph)
    return check_plan(path, artifact.plans[graph], inputs, flip)


def check_plan(
    model_path: Path,
    plan: Plan,
    inputs: Mapping[str, Array],
    flip: Flip | None = None,
    limit_bytes: int | None = None,
) -> CheckResult:
    """Check a plan against the model that it is for.

    Args:
        model_path: ONNX file, external data beside it.
        plan: its addresses need not be right.
        inputs: by name.
        flip: a fault to inject.
        limit_bytes: most memory for the buffers; None is the machine's.

    Raises:
        InputError: the inputs do not fit the graph, or too much memory would be needed.
        PlanViolationError: the plan cannot be executed.
    """
    session = make_session(model_path, EXACT, prepack=False)
    feeds = check_inputs(input_ports(session), inputs)
    expected = run_session(session, feeds)
    del session
    model = ir.load(model_path)
    types = host_types(model)
    scale = scale_of(plan, types)
    arena = make_arena(plan, scale, limit_bytes)
    tensors = TensorMap(plan, types, scale)
    transfers = Transfers(plan, tensors, arena)
    guards = Guards(plan, types, tensors, arena)
    runner = OpRunner(SubgraphExtractor(model), plan, types, tensors, arena, transfers, guards)

    written = _write_homes(model, plan, tensors, guards, arena, transfers, feeds)
    births, deaths = _poisonings(plan, written)
    for index in range(len(plan.ops)):
        for tensor, residence in deaths[index]:
            arena.poison(residence, tensor.size_bytes)
        for tensor, residence in births[index]:
            arena.poison(residence, tensor.size_bytes)
            guards.write(tensor.name, residence)
        if flip is not None and flip.op == index:
            arena.flip(flip.tier, flip.byte)
        transfers.begin_op(index)
        runner.run(index)
    if flip is not None and flip.op >= len(plan.ops):
        arena.flip(flip.tier, flip.byte)
    last = max(0, len(plan.ops) - 1)
    outputs: dict[str, Array] = {}
    for name, array in expected.items():
        guards.check(name, last, "outputs")
        outputs[name] = _read_output(name, array, last, tensors, arena)
    return CheckResult(
        differences=compare_outputs(expected, outputs),
        outputs=outputs,
        scale=scale,
        host_bytes=arena.host_bytes,
        ops=len(plan.ops),
        sessions=runner.sessions.count,
        streamed_bytes=transfers.streamed_bytes,
        gathered_operands=runner.gathered_operands,
    )


def _write_homes(
    model: ir.Model,
    plan: Plan,
    tensors: TensorMap,
    guards: Guards,
    arena: Arena,
    transfers: Transfers,
    feeds: Mapping[str, Array],
) -> frozenset[str]:
    """Put weights, states and inputs where they lie when the inference begins.

    Returns:
        The tensors whose memory was written.
    """
    planned = {tensor.name for tensor in plan.tensors}
    weights = {
        name: _constant_bytes(value)
        for name, value in model.graph.initializers.items()
        if name in planned and name not in feeds
    }
    homes = {n: data_B for n, data_B in weights.items() if n not in transfers.image_tensors}
    homes.update(
        {
            name: np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            for name, array in feeds.items()
            if name in planned
        }
    )
    for name, data_B in homes.items():
        region = tensors.region(name, 0)
        if region.size_bytes != data_B.size:
            raise InputError(
                f"tensor {quoted(name)}: expected {region.size_bytes} bytes, got {data_B.size}"
            )
        arena.write(region, data_B)
        owner = tensors.owner(name)[0]
        residence = tensors.residence(owner, 0)
        if residence is not None:
            guards.write(owner.name, residence)
    in_image = [name for name in weights if name in transfers.image_tensors]
    transfers.load({name: guards.guarded(name, weights[name]) for name in in_image})
    return frozenset(tensors.owner(name)[0].name for name in (*homes, *in_image))


def _constant_bytes(value: ir.Value) -> Bytes:
    tensor = value.const_value
    if tensor is None:
        raise InputError(f"initializer {quoted(value.name or '')}: has no data")
    return np.frombuffer(tensor.tobytes(), np.uint8)


def _poisonings(plan: Plan, written: frozenset[str]) -> tuple[_Poisonings, _Poisonings]:
    """What is born with each op, and what died before it."""
    count = len(plan.ops)
    births: _Poisonings = [[] for _ in range(count)]
    deaths: _Poisonings = [[] for _ in range(count)]
    for tensor in plan.tensors:
        for number, residence in enumerate(tensor.residences):
            # One that reaches into the next inference dies there.
            end = residence.end if residence.end <= count else residence.end - count
            if 0 <= end < count:
                deaths[end].append((tensor, residence))
            kept = tensor.name in (STAGING_TENSOR, IMAGE_TENSOR) or (
                number == 0 and tensor.name in written
            )
            if 0 <= residence.start < count and not kept:
                births[residence.start].append((tensor, residence))
    return births, deaths


def _read_output(name: str, like: Array, op: int, tensors: TensorMap, arena: Arena) -> Array:
    data_B = arena.read(tensors.region(name, op))
    if data_B.size != like.nbytes:
        raise PlanViolationError(
            f"output {quoted(name)}: expected {like.nbytes} bytes, got {data_B.size}"
        )
    return data_B.view(like.dtype).reshape(like.shape)
