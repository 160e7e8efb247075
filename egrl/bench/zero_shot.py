"""`egrl bench zero_shot`: models and accelerators that a policy has never seen, placed at once.

Each fold's policy was trained without the families of its models and accelerators
(`egrl/agents/egrl/folds.py`, `scripts/train_policy --fold`); the shipped one is judged on the same
rows, none of which is in any training set either.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate, evaluate_batch
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import build_rectifier
from egrl.agents.egrl.checkpoint import SHIPPED, Policy, load_policy
from egrl.agents.egrl.folds import FOLDS, Fold
from egrl.agents.egrl.zero_shot import zero_shot
from egrl.bench.model_index import read_index
from egrl.bench.options import BenchOptions
from egrl.bench.zero_shot_scale import Scale, measure_scale
from egrl.bench.zero_shot_start import Start, measure_start
from egrl.bench.zero_shot_table import Row, document
from egrl.compilation import prepare
from egrl.placers import PLACERS
from egrl.placers.base import Budget
from egrl.placers.decoder import build_decoder
from egrl.placers.egrl import Egrl
from graph_ir.errors import UnmetRequirementError

SEED = 0
REFERENCES = ("native", "acts-first", "greedy")
SAMPLES = 64


class Measured(msgspec.Struct):
    """Everything that the document is made of."""

    rows: dict[str, Row]
    scale: list[Scale]
    refused: dict[str, str]
    starts: dict[str, Start] = {}


def run(options: BenchOptions) -> None:
    """Measure what is missing, write the document.

    Raises:
        InputError: the development set or a fold's policy is not there.
    """
    data = options.out.with_suffix(".json")
    kept = Measured({}, [], {})
    if data.exists():
        kept = msgspec.json.decode(data.read_bytes(), type=Measured)
    if options.agent is not None and options.agent.rewrite:
        _write(data, options, kept)
        return
    parts = options.agent.parts if options.agent is not None else ()
    if not parts or "rows" in parts:
        _measure_rows(options, data, kept)
    if not parts or "start" in parts:
        _measure_starts(options, data, kept)
    if not parts or "cost" in parts:
        kept.scale = measure_scale(load_policy(SHIPPED))
    _write(data, options, kept)


def _measure_rows(options: BenchOptions, data: Path, kept: Measured) -> None:
    shipped = load_policy(SHIPPED)
    for fold, name, target in _wanted(options):
        policy = load_policy(fold_policy(options.out, fold))
        key = f"{name} on {target}"
        known = kept.rows.get(key)
        try:
            problem = _problem(options, name, target)
            row = _measure(problem, fold, name, target, policy, shipped, options, known)
        except UnmetRequirementError as error:
            kept.refused[key] = str(error).splitlines()[0]  # Named in the document.
            continue
        kept.rows[key] = row
        print(
            f"{key}: fold {_percent(row.fold_first_s, row)}, shipped "
            f"{_percent(row.shipped_first_s, row)}, full {_percent(row.full_s, row)}, "
            f"acts-first {_percent(row.references_s.get('acts-first'), row)}",
            flush=True,
        )
        _write(data, options, kept)


def _measure_starts(options: BenchOptions, data: Path, kept: Measured) -> None:
    for _, name, target in _wanted(options):
        key = f"{name} on {target}"
        if key not in kept.rows:
            continue  # Refused above, and named there.
        kept.starts[key] = measure_start(_problem(options, name, target), kept.rows[key].best_s)
        print(f"{key}: {kept.starts[key]}", flush=True)
        _write(data, options, kept)


def _wanted(options: BenchOptions) -> list[tuple[Fold, str, str]]:
    """Fold, model and target of the rows, in order."""
    return [
        (fold, name, target)
        for fold in FOLDS
        for name in fold.models
        if not options.models or name in options.models
        for target in fold.targets
        if not options.targets or target in options.targets
    ]


def _problem(options: BenchOptions, model: str, target: str) -> PlacementProblem:
    entry = read_index(options.folder, [model])[model]
    return prepare(options.folder / entry.file, target, None, entry.dims).problem


def fold_policy(out: Path, fold: Fold) -> Path:
    """Where the policy of a fold is kept: in a folder beside the document."""
    return out.with_suffix("") / f"policy.{fold.name}.safetensors"


def _percent(seconds: float | None, row: Row) -> str:
    return "-" if seconds is None else f"{100 * (seconds / row.best_s - 1):.2f} %"


def _write(data: Path, options: BenchOptions, kept: Measured) -> None:
    data.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    text = document(list(kept.rows.values()), kept.scale, kept.refused, kept.starts)
    options.out.write_text(text, "utf-8")


def _measure(
    problem: PlacementProblem,
    fold: Fold,
    model: str,
    target: str,
    policy: Policy,
    shipped: Policy,
    options: BenchOptions,
    known: Row | None,
) -> Row:
    references: dict[str, float] = {}
    for name in REFERENCES:
        try:
            placed = PLACERS[name]().place(problem, Budget(), np.random.default_rng(SEED))
        except UnmetRequirementError:
            continue  # Shown as a dash.
        references[name] = placed.latency_s
    if known is None or options.seconds > known.auto_seconds:
        best = PLACERS["auto"]().place(
            problem, Budget(seconds=options.seconds), np.random.default_rng(SEED)
        )
        best_s, bound_s, seconds = best.latency_s, best.lower_bound_s or 0.0, options.seconds
    else:
        best_s, bound_s, seconds = known.best_s, known.bound_s, known.auto_seconds
    rule, of_fold, of_shipped = (_shots(problem, one) for one in (None, policy, shipped))
    full = Egrl(search=False).place(problem, Budget(evaluations=1000), np.random.default_rng(SEED))
    fold_full = replace(Egrl(search=False), policy=fold_policy(options.out, fold)).place(
        problem, Budget(evaluations=1000), np.random.default_rng(SEED)
    )
    short = Egrl().place(problem, Budget(evaluations=2000), np.random.default_rng(SEED))
    found = [
        *(
            seconds
            for one in (rule, of_fold, of_shipped)
            for seconds in (one.first_s, one.samples_s)
        ),
        *(full.latency_s, fold_full.latency_s, short.latency_s, best_s),
        *references.values(),
    ]
    return Row(
        model=model,
        target=target,
        fold=fold.name,
        ops=problem.op_count,
        tensors=problem.tensor_count,
        references_s=references,
        rule_s=rule.alone_s,
        rule_samples_s=rule.samples_s,
        fold_s=of_fold.alone_s,
        fold_first_s=of_fold.first_s,
        fold_samples_s=of_fold.samples_s,
        fold_full_s=fold_full.latency_s,
        shipped_s=of_shipped.alone_s,
        shipped_first_s=of_shipped.first_s,
        shipped_samples_s=of_shipped.samples_s,
        full_s=full.latency_s,
        searched_s=short.latency_s,
        best_s=min(value for value in found if value is not None),
        bound_s=bound_s,
        auto_seconds=seconds,
        shot_seconds=of_shipped.seconds,
    )


@dataclass(frozen=True, slots=True)
class Shots:
    """What a policy gives at once; latencies in seconds, None where nothing fitted.

    Attributes:
        alone_s: one decode.
        first_s: the fastest of the decodes between the policy and its rule.
        samples_s: and of samples around them.
        seconds: wall time until `first_s` was known, tables and features included.
    """

    alone_s: float | None
    first_s: float | None
    samples_s: float | None
    seconds: float


def _shots(problem: PlacementProblem, policy: Policy | None) -> Shots:
    """No reference takes part; a policy without weights is the rule."""
    began = time.monotonic()
    decoder = build_decoder(problem)
    rectifier = build_rectifier(problem, decoder.tables, decoder.values)
    rng = np.random.default_rng(SEED)
    shot = zero_shot(problem, decoder, rectifier, policy, rng)
    first_PT = shot.first()
    first_s = _fastest(problem, first_PT)
    seconds = time.monotonic() - began
    sampled_s = _fastest(problem, np.concatenate([first_PT, shot.samples(SAMPLES, rng)]))
    return Shots(_fastest(problem, shot.alone()), first_s, sampled_s, seconds)


def _fastest(problem: PlacementProblem, homes_PT: NDArray[np.int8]) -> float | None:
    if not len(homes_PT):
        return None
    if len(homes_PT) == 1:
        return float(evaluate(problem, homes_PT[0])[0])
    found = evaluate_batch(problem, homes_PT)
    return float(np.where(found.feasible_P, found.latency_s_P, np.inf).min())
