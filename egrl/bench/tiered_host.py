"""This computer as a tiered machine: its rates by a model's own ops, and memories that matter."""

import statistics
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator, Streaming
from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.quantity import Quantity
from accelerator_sim.reference_engine import simulate
from egrl.bench.model_index import IndexEntry
from egrl.bench.options import BenchOptions
from egrl.calibration.from_ops import rates_from_ops
from egrl.calibration.machine import HostRates, host_accelerator, vector_bytes
from egrl.calibration.memory import clock_hz, memory_level
from graph_ir.load import load_model
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.workload import TensorKind, Workload
from runtime.npz import read_inputs
from runtime.tiered.accelerator import TierChoice, tiered_accelerator
from runtime.tiered.machine import Inference, LoadedModel, OpTime, TieredMachine
from runtime.tiered.memories import FILE_TIER

COMPUTE_RUNS = 16
PLENTY_BYTES = 1 << 32
FILE_BYTES_PER_S = 0.1e9
SLOW_BYTES_PER_S = 0.6e9
FAST_SHARE = 0.3
SLOW_SHARE = 0.4
STREAMING = Streaming(
    prefetch_ops=8,
    slice_bytes=1 << 17,
    staging_bytes=1 << 20,
    assumed=True,
    reason="chosen: the machine's DMA does what the file says",
)


@dataclass(frozen=True, slots=True)
class TieredCase:
    """A model with what all its machines share."""

    name: str
    model: LoadedModel
    workload: Workload
    inputs: dict[str, NDArray[np.generic]]


def load_case(options: BenchOptions, name: str, entry: IndexEntry) -> TieredCase:
    """Read a model of the development set and its sample inputs."""
    loaded = load_model(options.folder / entry.file, entry.dims)
    run_lossless(loaded.graph_model)
    workload = lower(loaded, name, "fp32", frozenset()).workload
    inputs = read_inputs(options.folder / entry.inputs)
    return TieredCase(name, LoadedModel(loaded.graph_model), workload, inputs)


def build_tiered_problem(case: TieredCase) -> PlacementProblem:
    """The placement problem of a model in this computer's memories, after measuring its ops."""
    host, handoff_s = _host(case)
    outer, fast_bytes = memory_choice(case.workload, handoff_s)
    return build_problem(case.workload, tiered_accelerator(host, outer, fast_bytes, STREAMING))


def memory_choice(workload: Workload, handoff_s: float) -> tuple[tuple[TierChoice, ...], int]:
    """Memories in which a model's placement matters: shares of the most that it ever holds."""
    live = [0] * len(workload.ops)
    for tensor in workload.tensors:
        if tensor.alias_of is None and tensor.kind is not TensorKind.IO:
            for op in range(tensor.start, tensor.end):
                live[op] += tensor.size_bytes
    need = max(live)
    outer = (
        TierChoice(FILE_TIER, PLENTY_BYTES, FILE_BYTES_PER_S, handoff_s),
        TierChoice("SLOW", int(SLOW_SHARE * need), SLOW_BYTES_PER_S, handoff_s),
    )
    return outer, STREAMING.staging_bytes + int(FAST_SHARE * need)


def _host(case: TieredCase) -> tuple[Accelerator, float]:
    """This computer with the rates of the model's ops, and what handing a copy over takes."""
    peak = _peak()
    plenty = (TierChoice(FILE_TIER, PLENTY_BYTES, FILE_BYTES_PER_S, 0.0),)
    problem = build_problem(
        case.workload, tiered_accelerator(peak, plenty, PLENTY_BYTES, STREAMING)
    )
    homes = [int(np.flatnonzero(row)[-1]) for row in problem.allowed_TH]
    plan = build_plan(problem, homes, simulate(problem, homes))
    with TieredMachine(case.model, problem, homes, plan) as machine:
        runs = [infer(machine, case) for _ in range(COMPUTE_RUNS)][1:]
        handoff_s = statistics.median(machine.handoff_seconds(FILE_TIER, 25))
    compute_s = [statistics.median(op.compute_s for op in ops) for ops in _by_op(runs)]
    beside_s = [
        statistics.median(op.duration_s - op.compute_s for op in ops) for ops in _by_op(runs)
    ]
    launch = Quantity(
        statistics.median(beside_s),
        source="on this machine, all in FAST: time of an op beside onnxruntime, median over ops",
    )
    rates = rates_from_ops(case.workload, peak, compute_s, "on this machine, all in FAST")
    assert peak.mac_array is not None
    replace = msgspec.structs.replace
    host = replace(
        peak,
        launch_overhead_s=launch,
        vector_unit=replace(peak.vector_unit, family_rate=dict(rates.vector)),
        mac_array=replace(peak.mac_array, family_rate=dict(rates.mac)),
    )
    return host, handoff_s


def _peak() -> Accelerator:
    """This computer without rates by family."""
    plenty = Quantity(float(PLENTY_BYTES), source="onnxruntime reads every operand once")
    memory = memory_level()
    rates = HostRates(
        clock_hz=clock_hz(),
        vector_bytes=vector_bytes(),
        launch_s=Quantity(0.0, source="of the machine's peak: none"),
        mac_rate={},
        int8_rate=None,
        vector_rate={},
        memory=memory,
        cache=memory,
        tile_buffer_bytes=plenty,
    )
    return host_accelerator(rates, "this computer, one thread", serial_units=False)


def infer(machine: TieredMachine, case: TieredCase) -> Inference:
    """One inference, on the sample inputs."""
    # A plan may give the memory of an input to something else once it has been read.
    machine.set_inputs(case.inputs)
    return machine.run()


def _by_op(runs: list[Inference]) -> list[list[OpTime]]:
    return [list(times) for times in zip(*(run.ops for run in runs), strict=True)]
