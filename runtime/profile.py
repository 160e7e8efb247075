"""What onnxruntime really took: the time of every op of a plan on this machine, and its kernels.

onnxruntime renames and fuses nodes, so its events are joined to the plan's ops by the names of the
tensors that they compute. Where it fuses several ops into one kernel, the op whose result the
kernel yields has the time of all; the others say which op that is.
"""

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from accelerator_sim.plan import PlanOp
from graph_ir.compression.forms import Executed
from graph_ir.errors import InputError
from runtime.load import Artifact
from runtime.profile_graph import read_executed
from runtime.session import check_inputs, input_ports, make_session, run_session

Array = NDArray[np.generic]

DEFAULT_REPEATS = 10
_KERNEL_SUFFIX = "_kernel_time"


class ProfiledOp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An op of the plan as onnxruntime executed it.

    Attributes:
        name: of the op.
        kernels: median seconds of each kind of kernel that computed it, the longest first;
            empty where nothing was left to compute.
        measured_s: of these kernels together.
        simulated_s: of the op on the accelerator.
        inside: name of the op whose kernel computes this one too, or "".
    """

    name: str
    kernels: dict[str, float]
    measured_s: float
    simulated_s: float
    inside: str = ""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One graph, executed several times.

    Attributes:
        graph: its name.
        repeats: inferences after a first that does not count.
        threads: of onnxruntime; 0 leaves it to onnxruntime.
        inference_s: median time of an inference, measured from outside while profiling.
        kernels_s: of all kernels together, medians.
        other_s: of kernels that belong to no op of the plan (changes of layout).
        simulated_s: latency of the plan on the accelerator.
        ops: in execution order of the plan.
    """

    graph: str
    repeats: int
    threads: int
    inference_s: float
    kernels_s: float
    other_s: float
    simulated_s: float
    ops: list[ProfiledOp]


@dataclass(frozen=True, slots=True)
class Profiled:
    """Times, and what the last inference computed."""

    profile: Profile
    outputs: Mapping[str, Array]


class _Event(msgspec.Struct):
    """A line of onnxruntime's trace, as far as it is looked at."""

    name: str = ""
    cat: str = ""
    dur: int = 0


def profile_artifact(
    artifact: Artifact,
    inputs: Mapping[str, Array],
    graph: str = "main",
    threads: int | None = None,
    repeats: int = DEFAULT_REPEATS,
) -> Profiled:
    """Run inferences and take the time of each op.

    Args:
        artifact: as `verify_artifact` or `load_artifact` gave it.
        inputs: an array for every input of the graph.
        graph: which of the artifact's graphs.
        threads: of onnxruntime; None takes the manifest's number.
        repeats: inferences that count.

    Raises:
        InputError: no such graph, inputs that do not fit it, or no repeats.
    """
    if repeats < 1:
        raise InputError(f"repeats: expected at least 1, got {repeats}")
    path, execution = artifact.model_path(graph), artifact.manifest.execution
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        dump = folder / "optimized.onnx"
        session = make_session(path, execution, threads, dump=dump, profile=folder / "times")
        artifact.check_unchanged()
        feeds = check_inputs(input_ports(session), inputs)
        times_s = []
        for _ in range(repeats + 1):
            begin = time.perf_counter()
            outputs = run_session(session, feeds)
            times_s.append(time.perf_counter() - begin)
        durations_s = _durations(Path(session.end_profiling()), repeats)
        executed = read_executed(dump, path)
    model = onnx.load(path, load_external_data=False)
    ops = artifact.plans[graph].ops
    report = artifact.reports[graph]
    simulated_s = {row.name: row.duration_s + row.stall_s for row in report.ops}
    rows, other_s = _rows(list(ops), model.graph, executed, durations_s, simulated_s)
    profile = Profile(
        graph,
        repeats,
        execution.intra_op_threads if threads is None else threads,
        statistics.median(times_s[1:]),
        sum(durations_s.values()),
        other_s,
        report.latency_s,
        rows,
    )
    return Profiled(profile, outputs)


def _durations(path: Path, repeats: int) -> dict[str, float]:
    """Median seconds of each kernel by its node's name; the first inference is left out."""
    events = msgspec.json.decode(path.read_bytes(), type=list[_Event])
    by_node: dict[str, list[int]] = defaultdict(list)
    for event in events:
        if event.cat == "Node" and event.name.endswith(_KERNEL_SUFFIX):
            by_node[event.name.removesuffix(_KERNEL_SUFFIX)].append(event.dur)
    found = {}
    for name, microseconds in by_node.items():
        # Nodes of one name, if there are any, follow each other within each inference.
        each = len(microseconds) // (repeats + 1)
        sums = [
            sum(microseconds[at : at + each]) for at in range(each, len(microseconds), max(1, each))
        ]
        found[name] = statistics.median(sums) * 1e-6 if sums else 0.0
    return found


def _rows(
    ops: list[PlanOp],
    graph: onnx.GraphProto,
    executed: Executed,
    durations_s: Mapping[str, float],
    simulated_s: Mapping[str, float],
) -> tuple[list[ProfiledOp], float]:
    """A row for each op, and the seconds of kernels that belong to none."""
    op_of_node = {node: op.name for op in ops for node in op.nodes}
    op_of_value = {
        value: op_of_node[node.name]
        for node in graph.node
        for value in node.output
        if value and node.name in op_of_node
    }
    kernels: dict[str, dict[str, float]] = {op.name: {} for op in ops}
    other_s = 0.0
    for kernel in executed.kernels:
        op, seconds = op_of_value.get(kernel.value), durations_s.get(kernel.name, 0.0)
        if op is None:
            other_s += seconds
        else:
            kernels[op][kernel.op_type] = kernels[op].get(kernel.op_type, 0.0) + seconds
    inside = _inside(ops, kernels)
    rows = [
        ProfiledOp(
            op.name,
            dict(sorted(kernels[op.name].items(), key=lambda kind: (-kind[1], kind[0]))),
            sum(kernels[op.name].values()),
            simulated_s.get(op.name, 0.0),
            inside.get(op.name, ""),
        )
        for op in ops
    ]
    return rows, other_s


def _inside(ops: list[PlanOp], kernels: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """For an op without kernels, the first op behind it that has some."""
    found: dict[str, str] = {}
    readers: dict[str, str] = {}
    for op in reversed(ops):
        if not kernels[op.name]:
            behind = [readers[value] for value in op.writes if value in readers]
            if behind:
                found[op.name] = behind[0]
        for value in op.reads:
            readers[value] = found.get(op.name, op.name)
    return found
