"""`egrl bench joint`: precision chosen with the placement, against compressing and then placing.

The reference quantizes everything alike and places what comes out. The joint searches are given
the error that the reference measured as their bound, and the same method, inputs and evaluations
for the placement of what they chose. Latencies are the engine's.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx_ir as ir

from accelerator_sim.targets import load_target
from egrl.bench.joint_generated import GeneratedRow, generated_rows
from egrl.bench.joint_table import Found, JointRow, document
from egrl.bench.machine import machine_line
from egrl.bench.model_index import IndexEntry, read_index
from egrl.bench.options import BenchOptions
from egrl.bench.row_file import RowFile
from egrl.compression.error import Reference
from egrl.compression.inputs import read_calibration
from egrl.compression.joint.byte_forms import byte_forms
from egrl.compression.joint.byte_sensitivity import ByteSensitivities, measure_bytes
from egrl.compression.joint.choices import Precisions, lower_precisions
from egrl.compression.joint.choosing import Choosing
from egrl.compression.joint.costs import ChoiceCosts
from egrl.compression.joint.goal import AutoOptions, Goal, Search, Target
from egrl.compression.joint.placed import Place, PlacedChoice
from egrl.compression.joint.trial import Trial
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.sensitivity import Sensitivities, measure_sensitivities
from graph_ir.compression.activations import BEST
from graph_ir.compression.convolution import fold_following_additions
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Data
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import find_sites
from graph_ir.load import load_model
from graph_ir.opset import raise_opset
from graph_ir.passes.pipeline import run_lossless
from runtime.manifest import Execution

MODELS = (
    "magika", "efficientnet-lite0", "ppocr-rec", "minilm", "bert-base", "smollm2-decode",
)  # fmt: skip

TARGETS: dict[str, str] = {"nnp-i": "fp16", "hexagon-vtcm-8m": "fp16", "ethos-u65-512": "int8"}
"""Targets of the document, with their execution types; others take their default."""

GRIDS = (Grid(8, 32), Grid(4, 32))

FORMS = byte_forms(GRIDS)

OPSET = 21

REFERENCES = {"int4": "4x32", "int8": "8a8"}
"""What is compressed uniformly, then placed: its precision as `Precisions.names` has it."""

SEARCHES = (Search.DRAWN, Search.AGENT)

SEED = 0

OPTIONS = AutoOptions(nodes=20, rounds=8, evaluations=1500, repairs=2)

EVALUATIONS = OPTIONS.rounds * OPTIONS.evaluations
"""Of the placement of a reference, and of what was chosen in its place."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What does not depend on the target.

    Attributes:
        model: simplified, of the opset that the precisions need.
        data: its inputs.
        reference: what results are measured against.
        sensitivities: of all grids.
        bytes: of the forms with activations of bytes.
        uniform: errors of uniform choices, by the products that are chosen for, which may depend
            on the target.
    """

    model: ir.Model
    data: Data
    reference: Reference
    sensitivities: Sensitivities
    bytes: ByteSensitivities
    uniform: dict[tuple[tuple[str, ...], ...], dict[tuple[int, ...], float]] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """A model on a target."""

    precisions: Precisions
    costs: ChoiceCosts
    target: Target
    place: Place
    plain_s: float


def run(options: BenchOptions) -> None:
    """Measures rows that are not there yet, one after another, and writes the document."""
    file = RowFile(options.out.with_suffix(".json"), JointRow)
    generated = RowFile(options.out.with_name(f"{options.out.stem}_generated.json"), GeneratedRow)
    for name, entry in read_index(options.folder, options.models or list(MODELS)).items():
        targets = [
            target
            for target in options.targets or list(TARGETS)
            if _missing(name, target, file.rows())
        ]
        if targets:
            source = _source(options.folder, entry)
        for target in targets:
            for row in _rows(name, source, target, _missing(name, target, file.rows())):
                file.add(row)
                _write(options.out, file, generated)
    if not options.models:
        for problem in generated_rows(len(generated.rows())):
            generated.add(problem)
    _write(options.out, file, generated)


def _missing(model: str, target: str, rows: dict[str, JointRow]) -> list[str]:
    return [name for name in REFERENCES if f"{model} {target} {name}" not in rows]


def _write(out: Path, file: RowFile[JointRow], generated: RowFile[GeneratedRow]) -> None:
    rows, problems = file.rows(), generated.rows()
    text = document(
        [rows[key] for key in sorted(rows)],
        [problems[key] for key in sorted(problems)],
        machine_line(),
        OPTIONS,
        SEED,
    )
    out.write_text(text, "utf-8")


def _source(folder: Path, entry: IndexEntry) -> _Source:
    loaded = load_model(folder / entry.file, entry.dims)
    model = loaded.graph_model
    run_lossless(model)
    inputs = read_calibration(folder / entry.inputs, model.graph, SEED)
    reference = Reference(model, inputs.samples)
    raise_opset(model, OPSET, entry.file)
    fold_following_additions(model.graph)
    data = Data(inputs.samples, OnnxRuntimeRunner(), SEED, True, GRIDS[-1])
    coarsest_first = sorted(GRIDS, key=lambda grid: (grid.bits, -grid.group))
    sites = find_sites(model.graph).found
    sensitivities = measure_sensitivities(model, sites, coarsest_first, data)
    return _Source(model, data, reference, sensitivities, measure_bytes(model, FORMS, BEST, data))


def _case(name: str, source: _Source, target_name: str) -> _Case:
    accelerator = load_target(target_name)
    execution_type = TARGETS.get(target_name, accelerator.default_type)
    precisions = lower_precisions(
        source.model, GRIDS, execution_type, frozenset(accelerator.streamed_views), name, FORMS,
        source.bytes.ranges,
    )  # fmt: skip
    costs = precisions.costs(source.sensitivities, source.bytes.error_squared)
    place = Place(precisions, accelerator, {}, SEED)
    plain = place.place(precisions.uniform(0), [], EVALUATIONS)
    return _Case(precisions, costs, Target(accelerator, execution_type), place, plain.latency_s)


def _rows(
    name: str, source: _Source, target_name: str, references: list[str]
) -> Iterator[JointRow]:
    """A row for each reference."""
    case = _case(name, source, target_name)
    for reference in references:
        began = time.monotonic()
        uniform_S = case.precisions.uniform(case.precisions.names.index(REFERENCES[reference]))
        uniform = case.place.place(uniform_S, [], EVALUATIONS)
        known = _uniform_errors(source, case)
        error = known[uniform_S] if any(uniform_S) else 0.0
        found = []
        for search in SEARCHES:
            # Each knows what uniform precisions measured, and not what the other search did.
            trial = _trial(source, case, known)
            found.append(_searched(name, case, trial, search, error, uniform))
        yield JointRow(
            model=name,
            target=target_name,
            reference=reference,
            execution_type=case.target.execution_type,
            products=len(uniform_S),
            convolutions=sum(alias[1] == 0 for alias in case.precisions.alias_SP),
            plain_s=case.plain_s,
            error=error,
            uniform_s=uniform.latency_s,
            uniform_bytes=case.costs.weight_bytes(uniform_S),
            search=found[0],
            agent=found[1],
            seconds=round(time.monotonic() - began, 1),
        )


def _uniform_errors(source: _Source, case: _Case) -> dict[tuple[int, ...], float]:
    """Errors of all products in one precision, measured once for all targets."""
    known = source.uniform.setdefault(case.precisions.sites, {})
    trial = _trial(source, case, known)
    for precision in range(1, case.precisions.count):
        choice_S = case.precisions.uniform(precision)
        if any(choice_S):
            known[choice_S] = trial.error(choice_S)
    return known


def _trial(source: _Source, case: _Case, measured: dict[tuple[int, ...], float]) -> Trial:
    return Trial(
        source.model, case.precisions, Rtn(), (), source.data, source.reference,
        Execution(accuracy_level=4), dict(measured), source.bytes.ranges, source.bytes.means,
    )  # fmt: skip


def _searched(
    name: str, case: _Case, trial: Trial, search: Search, error: float, uniform: PlacedChoice
) -> Found:
    """What a search finds within an error, placed with as many evaluations as the reference."""
    began = time.monotonic()
    goal = Goal(case.target, error, None, SEED)
    options = replace(OPTIONS, search=search.value)
    choosing = Choosing(goal, options, case.precisions, case.costs, trial, name)
    found = choosing.best([uniform])
    again = case.place.place(found.choice_S, [found.homes], EVALUATIONS)
    names = case.precisions.names
    counts = {each: found.choice_S.count(p) for p, each in enumerate(names)}
    return Found(
        min(found.latency_s, again.latency_s),
        trial.error(found.choice_S) if any(found.choice_S) else 0.0,
        case.costs.weight_bytes(found.choice_S),
        {each: count for each, count in counts.items() if count},
        round(time.monotonic() - began, 1),
    )
