"""`compile`: an ONNX model in, an artifact out. Reads top to bottom as the picture in DESIGN.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import msgspec
import onnxruntime

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.plan import Plan
from accelerator_sim.plan_builder import build_plan
from accelerator_sim.plan_io import plan_bytes
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.report import Report
from accelerator_sim.targets import load_target, target_text
from accelerator_sim.throughput import grouped
from accelerator_sim.validate import check_plan
from egrl.budget import default_budget, parse_budget
from egrl.compression.compress import NO_COMPRESSION, Compressed, Compression
from egrl.compression.compress import compress as compress_model
from egrl.compression.joint.goal import Target
from egrl.constraints import Constraints, read_constraints
from egrl.evaluators.command import Command
from egrl.evaluators.measured import Measured
from egrl.placement import Placed, place
from egrl.placers.base import Progress, no_progress
from egrl.placers.configured import read_placer_config
from egrl.write_problem import write_problem as write_audit_problem
from graph_ir.load import load_model
from graph_ir.lower import lower
from graph_ir.model import Model
from graph_ir.passes.pipeline import PassReport, run_lossless
from graph_ir.save import save_models
from runtime.compression import CompressionRecord
from runtime.generation.record import DecoderRecord
from runtime.manifest import ARTIFACT_SCHEMA, Manifest, PassRecord, Source
from runtime.write import check_replaceable, write_artifact

GRAPH = "main"


@dataclass(frozen=True, slots=True)
class CompileOutcome:
    """What was written.

    Attributes:
        path: the artifact.
        reports: by graph name.
        measured: by graph name, what the machine said that the placer searched on.
        decoder: what the manifest says about a decoder; None for other models.
        compressed: what was done to the weights, in order.
    """

    path: Path
    reports: dict[str, Report]
    measured: dict[str, Measured] = field(default_factory=dict)
    decoder: DecoderRecord | None = None
    compressed: tuple[CompressionRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Searched:
    """How a placement was found, as the manifest says it.

    Attributes:
        placer: its name.
        budget: of the search.
        seed: of the search.
        evaluator: the machine that it searched on; the engine where None.
    """

    placer: str
    budget: str
    seed: int
    evaluator: Command | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model on a target, ready to be placed."""

    model: Model
    accelerator: Accelerator
    execution_type: str
    passes: tuple[PassReport, ...]
    problem: PlacementProblem
    compressed: Compressed = field(default_factory=Compressed)


def compile_model(
    model: str | Path,
    *,
    out: str | Path,
    target: str = "nnp-i",
    precision: str | None = None,
    dims: Mapping[str, int] | None = None,
    compress: Sequence[str] = (),
    calibration: str | Path | None = None,
    max_error: float | None = None,
    max_bytes: int | None = None,
    placer: str = "auto",
    budget: str | None = None,
    seed: int = 0,
    constraints: str | Path | None = None,
    evaluator: Command | None = None,
    placer_config: str | Path | None = None,
    write_problem: str | Path | None = None,
    progress: Progress = no_progress,
) -> CompileOutcome:
    """Compile an ONNX model for an accelerator.

    Args:
        model: ONNX file.
        out: artifact folder to write; an artifact there is replaced.
        target: name of a shipped accelerator, or a TOML file.
        precision: execution type; the target's default where None.
        dims: extents of symbolic dimensions.
        compress: compressions in order, e.g. `int4:rtn,group=64`; see `egrl passes`.
        calibration: `.npz` file of inputs, or a folder of them; drawn with `seed` where None.
        max_error: largest relative error of the compressed model's outputs.
        max_bytes: most bytes of all weights, with `auto`.
        placer: see `egrl placers`.
        budget: of the placer, `30s` or `4000ev`; `30s` where None, `400ev` with an evaluator.
        seed: of the placer; with an evaluation budget the artifact's bytes depend on nothing else.
        constraints: TOML file with pins.
        evaluator: the machine that the placer searches on; the engine where None.
        placer_config: TOML file with the placer's hyper-parameters, e.g. `configs/egrl-paper.toml`.
        write_problem: also write the placement problem for `egrl audit`.
        progress: told of improvements.

    Raises:
        InputError: what was given is wrong.
        UnmetRequirementError: no plan fits.
    """
    budget = default_budget(evaluator is not None) if budget is None else budget
    limits = parse_budget(budget)
    check_replaceable(Path(out).absolute())
    fixed = read_constraints(Path(constraints)) if constraints else Constraints()
    config = read_placer_config(placer, Path(placer_config)) if placer_config else None
    asked = Compression(tuple(compress), calibration, max_error, seed, max_bytes)
    ready = prepare(
        model, target, precision, dims or {}, fixed.pins, compression=asked, placer=placer
    )
    if write_problem is not None:
        write_audit_problem(ready.problem, Path(write_problem))
    name = Path(model).stem
    start = ready.compressed.homes
    placed = place(ready.problem, placer, limits, seed, progress, name, evaluator, config, start)
    write_placed(ready, placed, Path(out), target, Searched(placer, budget, seed, evaluator))
    measured = {} if placed.measured is None else {GRAPH: placed.measured}
    done = tuple(detail.record for detail in ready.compressed.details)
    return CompileOutcome(Path(out), {GRAPH: placed.report}, measured, compressed=done)


def write_placed(
    ready: Prepared, placed: Placed, out: Path, target: str, searched: Searched
) -> None:
    """Write the artifact of a placed model; one that is there is replaced.

    Args:
        ready: the model on its target.
        placed: where its tensors are.
        out: artifact folder.
        target: as `prepare` was given it.
        searched: how the placement was found.
    """
    plan = build_plan(ready.problem, placed.homes_T.tolist(), placed.timeline)
    check_plan(plan)
    write_artifact(
        out,
        _manifest(ready, searched),
        _files(plan, placed, target_text(target)[0]),
        lambda folder: save_models({GRAPH: ready.model.graph_model}, folder),
    )


def prepare(
    model: str | Path,
    target: str,
    precision: str | None,
    dims: Mapping[str, int],
    pins: dict[str, str] | None = None,
    groups: int = 1,
    compression: Compression = NO_COMPRESSION,
    placer: str = "auto",
) -> Prepared:
    """Load, simplify, compress, fuse and lower a model, and price it on a target."""
    accelerator = grouped(load_target(target), groups)
    loaded = load_model(model, dims)
    passes = run_lossless(loaded.graph_model)
    execution_type = precision or accelerator.default_type
    goal = Target(accelerator, execution_type, pins or {}, placer)
    compressed = compress_model(loaded, compression, goal)
    streamed = frozenset(accelerator.streamed_views)
    lowered = lower(loaded, GRAPH, execution_type, streamed)
    problem = build_problem(lowered.workload, accelerator, pins)
    return Prepared(loaded, accelerator, execution_type, passes, problem, compressed)


def _files(plan: Plan, placed: Placed, target: str) -> dict[str, bytes]:
    report = msgspec.json.format(msgspec.json.encode(placed.report), indent=1) + b"\n"
    return {
        f"{GRAPH}.plan.json": plan_bytes(plan),
        f"{GRAPH}.report.json": report,
        "accelerator.toml": target.encode(),
    }


def _manifest(ready: Prepared, searched: Searched) -> Manifest:
    changed = dict.fromkeys(report.name for report in ready.passes if report.changes)
    layers = [detail.record for detail in ready.compressed.details]
    return Manifest(
        schema=ARTIFACT_SCHEMA,
        tool_version=version("egrl"),
        source=Source(Path(ready.model.source_path).name, ready.model.source_sha256),
        target=ready.accelerator.name,
        graphs=[GRAPH],
        passes=[*(PassRecord(name) for name in changed), *ready.compressed.records],
        execution_type=ready.execution_type,
        seeds={"placer": searched.seed},
        budget=searched.budget,
        placer=searched.placer,
        execution=ready.compressed.execution,
        onnxruntime_version=onnxruntime.__version__,
        evaluator=msgspec.UNSET if searched.evaluator is None else searched.evaluator.line,
        compression={GRAPH: layers} if layers else msgspec.UNSET,
    )
