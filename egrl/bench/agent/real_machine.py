"""Experiment 3 on a machine that nobody has written a model of: the memories of this computer.

`runtime/tiered/` executes plans with their transfers. In its mode `whole` an op waits for all its
operands, which the engine does not know. All searches begin with the exact plan of the engine and
measure as often as each other, every placement once; noise is theirs to bear. What they end with is
then executed in interleaved rounds beside the exact plan and `native`, and only those rounds count.

Axis letters: P plans, R rounds.
"""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate
from egrl.bench.agent.methods import METHODS, Part
from egrl.bench.agent.rows import Session
from egrl.bench.agent.settings import Settings
from egrl.bench.model_index import IndexEntry, read_index
from egrl.bench.settings import processor
from egrl.bench.tiered_host import build_tiered_problem, load_case
from egrl.evaluators.tiered import TieredEvaluator
from egrl.placers import PLACERS
from egrl.placers.base import Budget

PART: Part = "real"
MODELS = ("efficientnet-lite0", "ppocr-rec")
MEASUREMENTS = 100
ROUNDS = 11
EXACT_SECONDS = 30.0

EXACT, NATIVE = "exact", "native"
SEARCHES = ("local-search", "random-key", "egrl")


def names(settings: Settings) -> list[str]:
    """The chosen models."""
    wanted = settings.common.models
    return [name for name in MODELS if not wanted or name in wanted]


def sessions(settings: Settings, known: dict[str, Session]) -> Iterator[Session]:
    """A session for every model that has none, or one of fewer measurements or seeds."""
    chosen = names(settings)
    if not chosen:
        return
    count = settings.agent.evaluations or MEASUREMENTS
    for name, entry in read_index(settings.common.folder, chosen).items():
        there = known.get(name)
        seeds = len(settings.seeds(PART))
        enough = there is not None and there.measurements >= count and there.seeds >= seeds
        if settings.agent.again or not enough:
            yield measure(settings, name, entry, count)


def measure(settings: Settings, name: str, entry: IndexEntry, count: int) -> Session:
    """Search with every method and seed, then execute all that was found in rounds."""
    began = time.monotonic()
    case = load_case(settings.common, name, entry)
    problem = build_tiered_problem(case)
    machine = TieredEvaluator(case.model, problem, case.inputs)
    rng = np.random.default_rng(0)
    exact_T = PLACERS["exact"]().place(problem, Budget(seconds=EXACT_SECONDS), rng).homes_T
    plans = [
        (NATIVE, PLACERS["native"]().place(problem, Budget(), rng).homes_T),
        (EXACT, exact_T),
    ]
    for seed in settings.seeds(PART):
        for method in SEARCHES:
            placer = METHODS[method].make(problem, machine, exact_T)
            found = placer.place(problem, Budget(evaluations=count), np.random.default_rng(seed))
            plans.append((method, found.homes_T))
            print(
                f"{PART}: {name}: {method}, seed {seed}: {found.latency_s * 1e3:.1f} ms as it was "
                f"measured, {found.evaluations} measurements, {found.seconds:.0f} s",
                flush=True,
            )
    return Session(
        model=name,
        measurements=count,
        ops=problem.op_count,
        modelled_s={
            method: [evaluate(problem, homes_T)[0] for of, homes_T in plans if of == method]
            for method in (NATIVE, EXACT, *SEARCHES)
        },
        seconds=_in_rounds(machine, plans),
        minutes=(time.monotonic() - began) / 60.0,
        machine=processor(),
    )


def _in_rounds(
    machine: TieredEvaluator, plans: list[tuple[str, NDArray[np.int8]]]
) -> dict[str, list[list[float]]]:
    """Seconds of every plan, a list of rounds each, by method; every round has another order."""
    order = np.random.default_rng(1)
    seconds_PR = np.empty((len(plans), ROUNDS))
    for number in range(ROUNDS):
        for at in order.permutation(len(plans)).tolist():
            seconds_PR[at, number] = machine.measure(plans[at][1][np.newaxis])[0]
    found: dict[str, list[list[float]]] = {}
    for (method, _), seconds_R in zip(plans, seconds_PR.tolist(), strict=True):
        found.setdefault(method, []).append(seconds_R)
    return found
