"""`egrl bench joint`: precision chosen with the placement, against compressing and then placing.

The reference quantizes every product alike and places what comes out. The joint search is given
the error that the reference measured as its bound, and the same method, inputs and evaluations for
the placement of what it chose. Latencies are the engine's.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx_ir as ir

from accelerator_sim.targets import load_target
from egrl.bench.joint_table import JointRow, document
from egrl.bench.machine import machine_line
from egrl.bench.model_index import IndexEntry, read_index
from egrl.bench.options import BenchOptions
from egrl.compression.error import Reference
from egrl.compression.inputs import read_calibration
from egrl.compression.joint.choices import lower_precisions
from egrl.compression.joint.choosing import Choosing
from egrl.compression.joint.goal import AutoOptions, Goal, Target
from egrl.compression.joint.placed import Place
from egrl.compression.joint.trial import Trial
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.sensitivity import Sensitivities, measure_sensitivities
from graph_ir.compression.emit import needed_opset
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Data
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import find_sites
from graph_ir.load import load_model
from graph_ir.opset import raise_opset
from graph_ir.passes.pipeline import run_lossless
from runtime.manifest import Execution

MODELS = (
    "magika", "minilm", "ppocr-rec", "bert-base", "smollm2-decode", "smollm2-prefill",
)  # fmt: skip

TARGETS: dict[str, str] = {"nnp-i": "fp16", "hexagon-vtcm-8m": "fp16", "ethos-u65-512": "int8"}
"""Targets of the document, with their execution types; others take their default."""

GRIDS = (Grid(8, 32), Grid(8, 128), Grid(4, 32), Grid(4, 128))

REFERENCES = {"int4": Grid(4, 32), "int8": Grid(8, 32)}
"""What is compressed uniformly, then placed."""

SEED = 0

OPTIONS = AutoOptions(nodes=20, rounds=12, evaluations=2000, repairs=3)

EVALUATIONS = OPTIONS.rounds * OPTIONS.evaluations
"""Of the placement of a reference, and of what was chosen in its place."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What does not depend on the target.

    Attributes:
        model: simplified, of the opset that the grids need.
        data: its inputs.
        reference: what results are measured against.
        sensitivities: of all grids.
    """

    model: ir.Model
    data: Data
    reference: Reference
    sensitivities: Sensitivities


def run(options: BenchOptions) -> None:
    """Measures rows that are not there yet, one after another, and writes the document."""
    path = options.out.with_suffix(".json")
    rows: dict[tuple[str, str, str], JointRow] = {}
    if path.exists():
        known = msgspec.json.decode(path.read_bytes(), type=list[JointRow])
        rows = {(row.model, row.target, row.reference): row for row in known}
    for name, entry in read_index(options.folder, options.models or list(MODELS)).items():
        targets = [
            target
            for target in options.targets or list(TARGETS)
            if not all((name, target, reference) in rows for reference in REFERENCES)
        ]
        if targets:
            source = _source(options.folder, entry)
        for target in targets:
            for row in _rows(name, source, target):
                rows[name, target, row.reference] = row
            _write(options.out, path, list(rows.values()))
    _write(options.out, path, list(rows.values()))


def _write(out: Path, path: Path, rows: list[JointRow]) -> None:
    rows = sorted(rows, key=lambda row: (row.model, row.target, row.reference))
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
    out.write_text(document(rows, machine_line(), OPTIONS, SEED), "utf-8")


def _source(folder: Path, entry: IndexEntry) -> _Source:
    loaded = load_model(folder / entry.file, entry.dims)
    model = loaded.graph_model
    run_lossless(model)
    inputs = read_calibration(folder / entry.inputs, model.graph, SEED)
    reference = Reference(model, inputs.samples)
    raise_opset(model, max(needed_opset(grid.bits) for grid in GRIDS), entry.file)
    data = Data(inputs.samples, OnnxRuntimeRunner(), SEED, True, REFERENCES["int4"])
    coarsest_first = sorted(GRIDS, key=lambda grid: (grid.bits, -grid.group))
    sites = find_sites(model.graph).found
    sensitivities = measure_sensitivities(model, sites, coarsest_first, data)
    return _Source(model, data, reference, sensitivities)


def _rows(name: str, source: _Source, target_name: str) -> Iterator[JointRow]:
    """A row for each reference."""
    accelerator = load_target(target_name)
    execution_type = TARGETS.get(target_name, accelerator.default_type)
    target = Target(accelerator, execution_type)
    streamed = frozenset(accelerator.streamed_views)
    precisions = lower_precisions(source.model, GRIDS, execution_type, streamed, name)
    costs = precisions.costs(source.sensitivities)
    trial = Trial(
        source.model, precisions, Rtn(), (), source.data, source.reference,
        Execution(accuracy_level=4),
    )  # fmt: skip
    place = Place(precisions, accelerator, {}, SEED)
    plain = place.place(precisions.uniform(0), [], EVALUATIONS)
    for reference, grid in REFERENCES.items():
        began = time.monotonic()
        uniform_S = precisions.uniform(1 + GRIDS.index(grid))
        uniform = place.place(uniform_S, [], EVALUATIONS)
        error = trial.error(uniform_S)
        goal = Goal(target, error, None, SEED)
        found = Choosing(goal, OPTIONS, precisions, costs, trial, name).best([uniform])
        again = place.place(found.choice_S, [found.homes], EVALUATIONS)
        counts = np.bincount(found.choice_S, minlength=precisions.count).tolist()
        yield JointRow(
            name,
            target_name,
            reference,
            execution_type,
            len(uniform_S),
            plain.latency_s,
            error,
            uniform.latency_s,
            costs.weight_bytes(uniform_S),
            trial.error(found.choice_S) if any(found.choice_S) else 0.0,
            min(found.latency_s, again.latency_s),
            costs.weight_bytes(found.choice_S),
            dict(zip(["kept", *(f"{g.bits}x{g.group}" for g in GRIDS)], counts, strict=True)),
            round(time.monotonic() - began, 1),
        )
