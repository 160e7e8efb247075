"""`egrl bench numerics`: every model compiled, executed against its source, and its plan executed.

The example inputs of `scripts/models` are real where there are any (a photograph, a text).
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from accelerator_sim.targets import TARGETS
from egrl.bench.machine import machine_line
from egrl.bench.model_index import IndexEntry, read_index
from egrl.bench.options import BenchOptions
from egrl.compilation import GRAPH, compile_model
from runtime.check_plan import check_artifact_plan
from runtime.compare import compare_outputs
from runtime.execute import run_artifact
from runtime.load import load_artifact
from runtime.npz import read_inputs

TOLERANCE = 1e-5
PLACER = "acts-first"


@dataclass(frozen=True, slots=True)
class _Checked:
    """Errors relative to the output's range, the worst over all outputs."""

    run_error: float
    plan_error: float
    plan_exact: bool
    ops: int
    streamed_bytes: int
    compile_s: float
    check_s: float


def run(options: BenchOptions) -> None:
    """Measure and write the document.

    Raises:
        InputError: the development set is not built.
    """
    targets = options.targets or list(TARGETS)
    lines = [
        "# Numerics: outputs of artifacts and of executed plans",
        "",
        "Written by `egrl bench numerics` (after `scripts/models`). *run*: largest difference of "
        "`egrl run` from the source model in onnxruntime, over the range of the output; the goal "
        f"is {TOLERANCE:g}. *plan*: likewise for `egrl run --check-plan`, which executes op by op "
        "in the planned memory, against onnxruntime on the compiled graph; *same bytes* where "
        "not a bit differs. *streamed*: bytes that ops took from the staging ring.",
        "",
        f"Machine: {machine_line()}. Placer: `{PLACER}`.",
        "",
        "| model | target | ops | run | plan | streamed MiB | compile s | check s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    missed = []
    for name, entry in read_index(options.folder, options.models).items():
        for target in targets:
            checked = _check(options.folder, entry, target)
            plan = "same bytes" if checked.plan_exact else f"{checked.plan_error:.1e}"
            line = (
                f"| {name} | {target} | {checked.ops} | {checked.run_error:.1e} | {plan} "
                f"| {checked.streamed_bytes / 2**20:.1f} | {checked.compile_s:.1f} "
                f"| {checked.check_s:.1f} |"
            )
            print(line, flush=True)
            lines.append(line)
            if max(checked.run_error, checked.plan_error) > TOLERANCE:
                missed.append(f"{name} on {target}")
    lines += ["", f"Above {TOLERANCE:g}: {', '.join(missed) or 'none'}."]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join(lines) + "\n", "utf-8")


def _check(folder: Path, entry: IndexEntry, target: str) -> _Checked:
    inputs = read_inputs(folder / entry.inputs)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "model.egrl"
        began = time.monotonic()
        compile_model(folder / entry.file, out=out, target=target, dims=entry.dims, placer=PLACER)
        compiled = time.monotonic()
        artifact = load_artifact(out)
        got = run_artifact(artifact, inputs)
        expected = _source_outputs(folder / entry.file, inputs)
        executed = time.monotonic()
        result = check_artifact_plan(artifact, inputs, GRAPH)
        checked = time.monotonic()
    return _Checked(
        run_error=max(d.relative_error for d in compare_outputs(expected, got)),
        plan_error=max(d.relative_error for d in result.differences),
        plan_exact=all(d.exact for d in result.differences),
        ops=result.ops,
        streamed_bytes=result.streamed_bytes,
        compile_s=compiled - began,
        check_s=checked - executed,
    )


def _source_outputs(
    model: Path, inputs: dict[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.generic]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))
