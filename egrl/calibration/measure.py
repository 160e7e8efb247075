"""All measurements of `egrl calibrate`, from micro-models to rates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.variants import variants_of
from accelerator_sim.problem import build_problem
from accelerator_sim.quantity import Quantity
from accelerator_sim.reference_engine import simulate
from egrl.calibration.fit import Observation, family_rates, launch_overhead
from egrl.calibration.machine import HostRates, host_accelerator, vector_bytes
from egrl.calibration.memory import cache_bytes, cache_level, clock_hz, memory_level
from egrl.calibration.micro_models import OPSET, Micro, micro_models
from egrl.calibration.predict import cached_homes
from egrl.calibration.timing import Timing, make_timed_session, time_session, timing_of
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.workload import Workload

Array = NDArray[np.generic]
Report = Callable[[str], None]

CHAIN_LENGTHS = (8, 64)
SECONDS = 50.0
CHAIN_SECONDS = 1.0
ROUNDS = 4
INT8 = "int8"

# Families of the matrix unit, and as what onnxruntime executes the vector work in their ops.
EPILOGUES = {"conv": "elementwise", "matmul": "elementwise", "attention": "softmax"}


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured.

    Attributes:
        accelerator: the file's content.
        observations: of the micro-models, in order.
    """

    accelerator: Accelerator
    observations: tuple[Observation, ...]


def calibrate(threads: int, report: Report, seconds: float = SECONDS) -> Calibration:
    """Measure this machine.

    Args:
        threads: that onnxruntime computes with, and that share an op.
        report: told of every measurement, one line each.
        seconds: for all micro-models together, about.
    """
    bare = HostRates(
        clock_hz=clock_hz(),
        vector_bytes=vector_bytes(),
        launch_s=Quantity(0.0, source="not part of the peak"),
        mac_rate={},
        int8_rate=Quantity(1.0, source="the fp32 peak"),
        vector_rate={},
        memory=memory_level(),
        cache=cache_level(),
        tile_buffer_bytes=cache_bytes("2", 1 << 20),
        cores=threads,
    )
    report(f"clock {bare.clock_hz.value / 1e9:.2f} GHz, vectors of {bare.vector_bytes} bytes")
    for name, level in (("memory", bare.memory), ("cache", bare.cache)):
        read, write = level.read_bytes_per_s.value, level.write_bytes_per_s.value
        report(f"{name}: read {read / 1e9:.1f} GB/s, write {write / 1e9:.1f} GB/s")
    launch = _launch(threads)
    report(f"launch {launch.value * 1e6:.2f} us an op")
    peak = host_accelerator(bare, "peak", serial_units=False)
    observations = observe_all(micro_models(), peak, threads, seconds)
    for seen in observations:
        report(
            f"{seen.family} {seen.label}: {seen.measured_s * 1e6:.1f} us, "
            f"{seen.peak_s / seen.measured_s:.3g} of the peak"
        )
    return Calibration(
        host_accelerator(
            rates_of(bare, observations, launch), f"this computer, {threads} thread(s)"
        ),
        tuple(observations),
    )


def rates_of(bare: HostRates, observations: list[Observation], launch: Quantity) -> HostRates:
    """The rates that observations give.

    Args:
        bare: without rates by family.
        observations: of micro-models.
        launch: per op.
    """
    mac = [seen for seen in observations if seen.family.startswith("mac:")]
    vector = [seen for seen in observations if seen.family.startswith("vector:")]
    vector_rate = {
        family.removeprefix("vector:"): rate
        for family, rate in family_rates(vector, launch.value).items()
    }
    for family, like in EPILOGUES.items():
        if like in vector_rate:
            vector_rate[family] = Quantity(
                vector_rate[like].value, assumed=True, reason=f"executed as {like} ops are"
            )
    beside = {family: rate.value for family, rate in vector_rate.items()}
    mac_rate = {
        family.removeprefix("mac:"): rate
        for family, rate in family_rates(mac, launch.value, beside).items()
    }
    int8 = mac_rate.pop(INT8, None)
    if int8 is not None:
        # Int8 products are priced at the matmul rate too: what is left is the type's own.
        int8 = Quantity(int8.value / mac_rate["matmul"].value, source=f"{int8.source}, over fp32's")
    return replace(
        bare,
        launch_s=launch,
        mac_rate=mac_rate,
        int8_rate=int8,
        vector_rate=vector_rate,
    )


def observe_all(
    micros: Sequence[Micro], peak: Accelerator, threads: int, seconds: float
) -> list[Observation]:
    """Measure micro-models in rounds, and say what each would take at the peak.

    What else runs on the machine comes and goes: rounds spread it over all of them.

    Args:
        micros: to be measured.
        peak: accelerator without rates by family.
        threads: of onnxruntime.
        seconds: for all of it, about.
    """
    sessions = [make_timed_session(m.proto.SerializeToString(), threads) for m in micros]
    feeds = [_feeds(micro.proto) for micro in micros]
    times: list[list[float]] = [[] for _ in micros]
    each_s = seconds / (ROUNDS * max(1, len(micros)))
    for _ in range(ROUNDS):
        for session, given, found in zip(sessions, feeds, times, strict=True):
            found += time_session(session, given, threads, each_s, least_runs=3)
    return [
        _observation(micro, peak, timing_of(found).median_s)
        for micro, found in zip(micros, times, strict=True)
    ]


def _observation(micro: Micro, peak: Accelerator, measured_s: float) -> Observation:
    workload = _lowered(micro)
    problem = build_problem(workload, peak)
    trace = simulate(problem, cached_homes(problem))
    variants = [variants_of(op, peak)[0] for op in workload.ops]
    at_peak = [v.mac_s if micro.is_mac else v.vector_s for v in variants]
    return Observation(
        f"{'mac' if micro.is_mac else 'vector'}:{micro.family}",
        micro.label,
        sum(at_peak),
        sum(max(op.resource_s.values()) for op in trace.ops),
        measured_s,
        len(workload.ops),
        sum(v.vector_s for v in variants) if micro.is_mac else 0.0,
        workload.ops[0].family.value,
    )


def _lowered(micro: Micro) -> Workload:
    model = ir.from_proto(micro.proto)
    run_lossless(model)
    return lower(model, "micro", micro.execution_type, frozenset()).workload


def _feeds(proto: onnx.ModelProto) -> Mapping[str, Array]:
    rng = np.random.default_rng(0)
    weights = {tensor.name for tensor in proto.graph.initializer}
    feeds: dict[str, Array] = {}
    for value in proto.graph.input:
        if value.name in weights:
            continue
        kind = value.type.tensor_type
        shape = [d.dim_value for d in kind.shape.dim]
        if kind.elem_type == TensorProto.INT64:
            feeds[value.name] = rng.integers(0, 2048, shape)
        else:
            feeds[value.name] = rng.standard_normal(shape).astype(np.float32)
    return feeds


def _launch(threads: int) -> Quantity:
    """From chains of ops on so few numbers that only their launch takes time."""
    chains = {length: _chain(length, threads) for length in CHAIN_LENGTHS}
    per_op, beside = launch_overhead({n: timing.median_s for n, timing in chains.items()})
    lengths = " and ".join(map(str, CHAIN_LENGTHS))
    return Quantity(
        per_op,
        source=f"measured: chains of {lengths} additions of 16 numbers; {beside * 1e6:.1f} us an "
        "inference beside them",
    )


def _chain(length: int, threads: int) -> Timing:
    names = [f"v{index}" for index in range(length + 1)]
    nodes = [
        helper.make_node("Add", [names[at], "x"], [names[at + 1]], f"add{at}")
        for at in range(length)
    ]
    x, first, last = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16])
        for name in ("x", names[0], names[-1])
    )
    proto = helper.make_model(
        helper.make_graph(nodes, "chain", [x, first], [last]),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )
    feeds = {name: np.ones((1, 16), np.float32) for name in ("x", names[0])}
    session = make_timed_session(proto.SerializeToString(), threads)
    return timing_of(time_session(session, feeds, threads, CHAIN_SECONDS))
