"""Predictions of a calibrated file against models that took no part in making it."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx_ir as ir

from accelerator_sim.accelerator import Accelerator
from egrl.bench.tiered_stats import spearman
from egrl.calibration.predict import predict
from egrl.calibration.timing import make_timed_session, time_session, timing_of
from graph_ir.load import load_model
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.save import save_models
from runtime.npz import read_inputs
from runtime.session import check_inputs, input_ports

ERROR_GOAL = 0.2
RANK_GOAL = 0.95

# Ops that compute in int8 whatever type the graph's inputs have.
_INT8_OPS = frozenset(
    (
        "ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulInteger",
        "MatMulIntegerToFloat", "QGemm", "QLinearConv", "QLinearMatMul",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A model to check on.

    Attributes:
        name: for people.
        path: ONNX file.
        dims: extents of symbolic dimensions.
        inputs: npz file.
    """

    name: str
    path: Path
    dims: Mapping[str, int]
    inputs: Path


class HostRow(msgspec.Struct, frozen=True):
    """One model.

    Attributes:
        model: name.
        ops: of the lowered graph.
        execution_type: that its arithmetic is priced in.
        predicted_s: by the engine.
        measured_s: median.
        least_s: fastest run.
        most_s: slowest run.
        runs: how many.
        family_s: predicted seconds by op family, the largest first.
    """

    model: str
    ops: int
    execution_type: str
    predicted_s: float
    measured_s: float
    least_s: float
    most_s: float
    runs: int
    family_s: dict[str, float]

    @property
    def error(self) -> float:
        """Predicted over measured, minus 1."""
        return self.predicted_s / self.measured_s - 1.0


def check_host(
    models: Sequence[HeldOut],
    accelerator: Accelerator,
    threads: int = 1,
    seconds_each: float = 2.0,
    report: Callable[[HostRow], None] | None = None,
) -> list[HostRow]:
    """Predict and measure each model.

    Args:
        models: that took no part in the calibration.
        accelerator: made by `egrl calibrate` with as many threads.
        threads: that onnxruntime computes with.
        seconds_each: to measure a model, about; at least five runs.
        report: told of every row.

    Raises:
        InputError: a model or its inputs cannot be read, or the file has no rate for an op.
    """
    rows = []
    for model in models:
        row = check_model(model, accelerator, threads, seconds_each)
        rows.append(row)
        if report is not None:
            report(row)
    return rows


def check_model(
    held_out: HeldOut, accelerator: Accelerator, threads: int, seconds_each: float
) -> HostRow:
    """Predict and measure the graph that the compiler would execute.

    Raises:
        InputError: the model or its inputs cannot be read, or the file has no rate for an op.
    """
    loaded = load_model(held_out.path, held_out.dims)
    run_lossless(loaded.graph_model)
    execution_type = execution_type_of(loaded.graph_model)
    workload = lower(loaded, held_out.name, execution_type, frozenset()).workload
    timeline = predict(workload, accelerator)
    with tempfile.TemporaryDirectory() as folder:
        save_models({"main": loaded.graph_model}, Path(folder))
        session = make_timed_session(Path(folder) / "main.onnx", threads)
        feeds = check_inputs(input_ports(session), read_inputs(held_out.inputs))
        timing = timing_of(time_session(session, feeds, threads, seconds_each))
    family_s: dict[str, float] = {}
    for op in timeline.ops:
        family_s[op.family] = family_s.get(op.family, 0.0) + op.end_s - op.start_s
    return HostRow(
        model=held_out.name,
        ops=len(workload.ops),
        execution_type=execution_type,
        predicted_s=timeline.latency_s,
        measured_s=timing.median_s,
        least_s=timing.least_s,
        most_s=timing.most_s,
        runs=timing.runs,
        family_s=dict(sorted(family_s.items(), key=lambda item: (-item[1], item[0]))),
    )


def execution_type_of(model: ir.Model) -> str:
    """`int8` where products are computed on quantized numbers, else `fp32`."""
    return "int8" if any(node.op_type in _INT8_OPS for node in model.graph) else "fp32"


def rank_correlation(rows: Sequence[HostRow]) -> float:
    """Spearman's, of predictions with measurements."""
    return spearman([r.predicted_s for r in rows], [r.measured_s for r in rows])


def within_goal(rows: Sequence[HostRow]) -> int:
    """How many are predicted within the goal."""
    return sum(abs(row.error) <= ERROR_GOAL for row in rows)


def median_error(rows: Sequence[HostRow]) -> float:
    """Median of the absolute errors."""
    return float(np.median([abs(row.error) for row in rows]))
