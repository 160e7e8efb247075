"""`simulate`: the report of an artifact as it is planned, or of a model placed now."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.engine import evaluate
from accelerator_sim.plan import Plan
from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.report_case import ReportCase
from accelerator_sim.targets import load_target
from accelerator_sim.throughput import grouped
from egrl.advice.advise import advise
from egrl.budget import parse_budget
from egrl.compilation import Prepared, prepare
from egrl.context_report import with_caches
from egrl.decoder_placement import place_decoder, quarter
from egrl.placement import Placed, place, report_placement
from egrl.placers import PLACERS
from egrl.placers.base import Budget, PlacerResult, Progress, no_progress
from graph_ir.errors import InputError
from graph_ir.load import load_model
from graph_ir.load_step import load_step
from graph_ir.lower import lower
from runtime.generation.record import DECODE, PREFILL, SELECT, DecoderRecord
from runtime.load import Artifact, load_artifact
from runtime.manifest import TARGET_FILE

DEFAULT_TARGET = "nnp-i"
DEFAULT_PLACER = "auto"


def simulate_sources(
    sources: Sequence[str | Path],
    *,
    target: str | None = None,
    precision: str | None = None,
    dims: Mapping[str, int] | None = None,
    placers: Sequence[str] = (),
    budget: str = "10s",
    seed: int = 0,
    groups: int = 1,
    advice: bool = False,
    progress: Progress = no_progress,
) -> list[ReportCase]:
    """Simulate artifacts (folders) and models (files).

    Args:
        sources: artifacts and ONNX files.
        target: accelerator; an artifact on another target than its own is placed again.
        precision: execution type of models.
        dims: extents of symbolic dimensions of models.
        placers: a case for each of them; `auto` where none is named. An artifact on its own
            target is always shown as it is planned, and placed again only by those named here.
        budget: of each placer.
        seed: of each placer.
        groups: inferences at a time, each on its share of the cores (throughput mode).
        advice: also place and simulate again with changes, and list those that help.
        progress: told of improvements.

    Raises:
        InputError: a source is neither, or wrong.
        UnmetRequirementError: no plan fits.
    """
    limits = parse_budget(budget)
    for placer in placers:
        if placer not in PLACERS:
            raise InputError(f"placer {placer}: unknown; expected one of {', '.join(PLACERS)}")
    asked = tuple(dict.fromkeys(placers))
    # All are read before any is placed: what is wrong with the last one is said at once.
    opened = [_open(Path(source), target, precision, dims or {}, groups) for source in sources]
    result: list[ReportCase] = []
    for source, content in zip(sources, opened, strict=True):
        path = Path(source)
        if isinstance(content, Artifact):
            result += _artifact_cases(content, target, groups, asked, budget, seed, progress)
            continue
        for placer in asked or (DEFAULT_PLACER,):
            placed = place(content.problem, placer, limits, seed, progress, path.stem)
            result.append(_case(path.name, content.problem, placed))
    return [_advised(case, progress) for case in result] if advice else result


def _open(
    path: Path, target: str | None, precision: str | None, dims: Mapping[str, int], groups: int
) -> Artifact | Prepared:
    if path.is_dir():
        return load_artifact(path)
    return prepare(path, target or DEFAULT_TARGET, precision, dims, groups=groups)


def _advised(case: ReportCase, progress: Progress) -> ReportCase:
    progress(f"advice for {case.name}", case.report.latency_s)
    return replace(case, advice=advise(case))


def _artifact_cases(
    artifact: Artifact,
    target: str | None,
    groups: int,
    placers: Sequence[str],
    budget: str,
    seed: int,
    progress: Progress,
) -> list[ReportCase]:
    """The cases of each graph in turn: as it is planned, then placed again by every placer."""
    own_target = str(artifact.path / TARGET_FILE)
    accelerator = grouped(load_target(target or own_target), groups)
    graphs = artifact.manifest.graphs
    problems = {graph: problem_of_artifact(artifact, graph, accelerator) for graph in graphs}
    is_own = accelerator == load_target(own_target)
    cases: dict[str, list[ReportCase]] = {
        graph: [_planned_case(artifact, graph, problem, _graph_name(artifact, graph))]
        if is_own
        else []
        for graph, problem in problems.items()
    }
    made_for = "" if is_own else f"compiled for {artifact.manifest.target}; "
    for placer in placers or (() if is_own else (DEFAULT_PLACER,)):
        for_whom = accelerator.name if groups == 1 else f"{accelerator.name} in {groups} groups"
        note = f"{made_for}placed again for {for_whom} with {placer}, {budget}"
        again = _placed_again(artifact, problems, placer, parse_budget(budget), seed, progress)
        for graph, placed in again.items():
            name = _graph_name(artifact, graph)
            cases[graph].append(_case(name, problems[graph], placed, note))
    return [case for graph in graphs for case in cases[graph]]


def _graph_name(artifact: Artifact, graph: str) -> str:
    return f"{artifact.path.name}:{graph}"


def _placed_again(
    artifact: Artifact,
    problems: Mapping[str, PlacementProblem],
    placer: str,
    budget: Budget,
    seed: int,
    progress: Progress,
) -> dict[str, Placed]:
    """The graphs of an artifact, by another placer or on another target."""
    record = artifact.manifest.decoder
    if isinstance(record, DecoderRecord):
        both = place_decoder(problems[DECODE], problems[PREFILL], placer, budget, seed, progress)
        graph = load_step(artifact.model_path(DECODE)).graph_model
        token = both.decode
        report = with_caches(token.report, graph, problems[DECODE], token.homes_T, record.context)
        placed = {PREFILL: both.prefill, DECODE: replace(token, report=report)}
        if SELECT in problems:
            placed[SELECT] = place(problems[SELECT], placer, quarter(budget), seed, progress)
        return {name: _renamed(placed[name], artifact, name) for name in problems}
    return {
        name: place(problem, placer, budget, seed, progress, artifact.reports[name].model)
        for name, problem in problems.items()
    }


def _renamed(placed: Placed, artifact: Artifact, graph: str) -> Placed:
    model = artifact.reports[graph].model
    return replace(placed, report=msgspec.structs.replace(placed.report, model=model))


def _planned_case(
    artifact: Artifact, graph: str, problem: PlacementProblem, name: str
) -> ReportCase:
    """An artifact's graph as its plan says."""
    plan, planned = artifact.plans[graph], artifact.reports[graph]
    homes_T = planned_homes(problem, plan)
    latency_s, _ = evaluate(problem, homes_T)
    if abs(latency_s - planned.latency_s) > 1e-9 * planned.latency_s:
        raise InputError(
            f"{artifact.path}: {graph}: expected the reported latency "
            f"{planned.latency_s!r} s, got {latency_s!r} s: it was compiled by "
            "another version of the simulator; compile it again"
        )
    result = PlacerResult(homes_T, planned.latency_s, 0, 0.0, planned.lower_bound_s)
    placed = report_placement(problem, planned.placer, result, planned.references, planned.model)
    # What it says of caches and homes was found with the same simulator, as the latency was.
    report = msgspec.structs.replace(placed.report, caches=planned.caches, alone_s=planned.alone_s)
    return _case(name, problem, replace(placed, report=report), plan=plan)


def problem_of_artifact(
    artifact: Artifact, graph: str, accelerator: Accelerator
) -> PlacementProblem:
    """The placement problem of an artifact's graph, on any target."""
    is_decoder = isinstance(artifact.manifest.decoder, DecoderRecord)
    path = artifact.model_path(graph)
    model = load_step(path) if is_decoder else load_model(path)
    execution_type = artifact.manifest.execution_type
    if accelerator.name != artifact.manifest.target:
        known = accelerator.vector_unit.lanes
        execution_type = execution_type if execution_type in known else accelerator.default_type
    streamed = frozenset(accelerator.streamed_views)
    return build_problem(lower(model, graph, execution_type, streamed).workload, accelerator)


def planned_homes(problem: PlacementProblem, plan: Plan) -> NDArray[np.int8]:
    """The homes that a plan gives to the tensors of a problem.

    Raises:
        InputError: the plan is of another graph or another target.
    """
    home_index = {
        (problem.accelerator.tiers[home.tier].name, home.mode): h
        for h, home in enumerate(problem.homes)
    }
    planned = {tensor.name: tensor for tensor in plan.tensors}
    homes_T = np.zeros(problem.tensor_count, np.int8)
    for t, tensor in enumerate(problem.workload.tensors):
        if tensor.alias_of is not None:
            continue
        entry = planned.get(tensor.name)
        if entry is None or not entry.residences:
            raise InputError(f"plan: expected a residence for tensor {tensor.name}, got none")
        where = entry.residences[0]
        home = home_index.get((where.tier, where.mode))
        if home is None:
            raise InputError(
                f"plan: tensor {tensor.name}: {problem.accelerator.name} has no home "
                f"{where.tier}/{where.mode}"
            )
        homes_T[t] = home
    return homes_T


def _case(
    name: str,
    problem: PlacementProblem,
    placed: Placed,
    note: str = "",
    plan: Plan | None = None,
) -> ReportCase:
    homes = tuple(placed.homes_T.tolist())
    made = plan or build_plan(problem, homes, placed.timeline)
    return ReportCase(name, note, placed.report, placed.timeline, problem, homes, made)
