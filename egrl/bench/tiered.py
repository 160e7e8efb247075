"""`egrl bench tiered`: does the engine rank placements as a real tiered machine does?

For each model the machine first executes all ops in its fastest memory; their times give the
accelerator file its compute rates, one per op family. The engine then says how long each placement
takes, and the machine executes each with its transfers, in interleaved rounds.
"""

import time

import msgspec
import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.bench.model_index import read_index
from egrl.bench.options import BenchOptions
from egrl.bench.tiered_host import (
    FAST_SHARE,
    FILE_BYTES_PER_S,
    SLOW_BYTES_PER_S,
    SLOW_SHARE,
    TieredCase,
    build_tiered_problem,
    infer,
    load_case,
)
from egrl.bench.tiered_placements import Candidate, candidates
from egrl.bench.tiered_table import ModelResult, document, model_result
from egrl.placers.base import Budget
from runtime.tiered.machine import Inference, Overlap, TieredMachine

MODELS = ("efficientnet-lite0", "minilm", "ppocr-rec")
PLACEMENTS = 64
ROUNDS = 5
EVALUATIONS = 20_000
MODES: tuple[Overlap, ...] = ("tiles", "whole")


def run(options: BenchOptions) -> None:
    """Measure, merge with earlier models, write the document.

    Raises:
        InputError: the development set is not built.
    """
    names = options.models or list(MODELS)
    rates = (
        f"FILE (a file, {FILE_BYTES_PER_S / 1e9:g} GB/s), SLOW (RAM behind a copy thread, "
        f"{SLOW_BYTES_PER_S / 1e9:g} GB/s, {SLOW_SHARE:.0%} of the most bytes that the model "
        f"holds at once), FAST (plain RAM, {FAST_SHARE:.0%})."
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    data = options.out.with_suffix(".json")
    results: dict[str, ModelResult] = {}
    if data.exists():
        results = msgspec.json.decode(data.read_bytes(), type=dict[str, ModelResult])
    for name, entry in read_index(options.folder, names).items():
        results[name] = _measure(load_case(options, name, entry))
        print("\n".join(results[name].lines()), flush=True)
        ordered = {key: results[key] for key in sorted(results)}
        data.write_bytes(msgspec.json.encode(ordered) + b"\n")
        options.out.write_text(document(list(ordered.values()), rates), "utf-8")


def _measure(case: TieredCase) -> ModelResult:
    began = time.monotonic()
    problem = build_tiered_problem(case)
    found = candidates(
        problem, PLACEMENTS, Budget(evaluations=EVALUATIONS), np.random.default_rng(0)
    )
    measured = {mode: np.empty((ROUNDS, len(found))) for mode in MODES}
    order = np.random.default_rng(1)
    for number in range(ROUNDS):
        for at in order.permutation(len(found)).tolist():
            for mode in MODES:
                runs = _execute(case, problem, found[at], mode, 2)
                measured[mode][number, at] = runs[-1].latency_s
        print(f"{case.name}: round {number + 1} of {ROUNDS}", flush=True)
    return model_result(case.name, problem, found, measured, time.monotonic() - began)


def _execute(
    case: TieredCase, problem: PlacementProblem, candidate: Candidate, mode: Overlap, count: int
) -> list[Inference]:
    homes = candidate.homes_T.tolist()
    with TieredMachine(case.model, problem, homes, candidate.plan, mode) as machine:
        return [infer(machine, case) for _ in range(count)]
