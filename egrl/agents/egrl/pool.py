"""The problems that a policy is trained on: drawn by a seed, each with a good solution.

Solutions are found by short searches of the training problems themselves, which are all generated.
Drawing is spread over processes; the pool does not depend on how many, since every problem has a
generator of its own.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egrl.agents.egrl.decoding import decode_keys
from egrl.agents.egrl.policy import rule_keys
from egrl.agents.egrl.regret import Case, build_case, latency_logs
from egrl.agents.egrl.solution import Solution, solution_of, solve
from egrl.generator.problems import draw_problem
from graph_ir.errors import InputError, UnmetRequirementError

I8 = NDArray[np.int8]

SOLVE_EVALUATIONS = 8_000
"""Of each of the two searches for a solution."""

EASY = 1e-4
"""Where the rule is this close to the solution, there is little to learn."""

EASY_KEPT = 0.4
"""Share of the easy problems that is kept, so that the policy does not forget them."""

MOST_DRAWS = 64


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """What is drawn, from all families of models and around all accelerators.

    Attributes:
        problems: how many.
        seed: of all of them.
        op_range: fewest and most ops.
    """

    problems: int
    seed: int
    op_range: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Exercise:
    """A problem to train on.

    Attributes:
        case: the problem.
        solution: a good one.
        family: of the model.
        archetype: of the accelerator.
    """

    case: Case
    solution: Solution
    family: str
    archetype: str


def draw_exercise(config: PoolConfig, index: int) -> tuple[Exercise, int]:
    """Problem number `index`, and which of its draws it was.

    Raises:
        UnmetRequirementError: none of `MOST_DRAWS` draws gave a problem.
    """
    for draw in range(MOST_DRAWS):
        found = _drawn(config, index, draw, None)
        if found is not None:
            return found, draw
    raise UnmetRequirementError(f"training problem {index}: {MOST_DRAWS} draws gave none")


def again(config: PoolConfig, index: int, draw: int, homes_T: I8) -> Exercise:
    """A problem that was drawn before, with the solution that was found then.

    Raises:
        InputError: the solution is not one of this problem.
    """
    found = _drawn(config, index, draw, homes_T)
    if found is None:
        raise InputError(f"training problem {index}: its solution is of another pool")
    return found


def build_pool(config: PoolConfig, folder: Path, jobs: int) -> list[Exercise]:
    """Draw the pool, or read its solutions where a run before this one has written them.

    Args:
        config: what is drawn.
        folder: keeps the solutions, one file each, so that a run can be taken up again.
        jobs: processes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(config.problems) if not _solved(folder, i).exists()]
    if jobs == 1:
        for index in missing:
            _solve_to_file(config, folder, index)
    elif missing:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as workers:
            for _ in workers.map(_solve_to_file, *_arguments(config, folder, missing)):
                pass
    pool = []
    for index in range(config.problems):
        with np.load(_solved(folder, index), allow_pickle=False) as kept:
            pool.append(again(config, index, int(kept["draw"]), kept["homes_T"].astype(np.int8)))
    return pool


def _arguments(
    config: PoolConfig, folder: Path, missing: Sequence[int]
) -> tuple[Iterator[PoolConfig], Iterator[Path], Iterator[int]]:
    return (
        iter([config] * len(missing)),
        iter([folder] * len(missing)),
        iter(missing),
    )


def _solved(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.npz"


def _solve_to_file(config: PoolConfig, folder: Path, index: int) -> None:
    exercise, draw = draw_exercise(config, index)
    partial = folder / f"{index:05d}.partial.npz"
    np.savez(partial, draw=np.array(draw), homes_T=exercise.solution.homes_T)
    partial.replace(_solved(folder, index))


def _drawn(config: PoolConfig, index: int, draw: int, homes_T: I8 | None) -> Exercise | None:
    """One draw: None where it cannot be placed or is easy and not kept."""
    rng = np.random.default_rng([config.seed, index, draw])
    try:
        drawn = draw_problem(rng, op_range=config.op_range)
        problem = drawn.problem
        case = build_case(problem)
        if homes_T is not None:
            if len(homes_T) != problem.tensor_count:
                return None
            solution = solution_of(case.decoder, homes_T)
            return Exercise(case, solution, drawn.family, drawn.archetype)
        keys = rule_keys(case.observation)
        rule_PT, decoded_P = decode_keys(
            case.decoder, keys.priority_T[np.newaxis], keys.preference_TH[np.newaxis]
        )
        starts = [None, rule_PT[0]] if decoded_P[0] else [None]
        found = [
            solve(problem, case.decoder, start_T, SOLVE_EVALUATIONS, rng) for start_T in starts
        ]
    except UnmetRequirementError:
        return None  # Drawn anew: nothing that fits was found.
    solution = min(found, key=lambda candidate: candidate.latency_s)
    rule_log = latency_logs(case, keys.priority_T[np.newaxis], keys.preference_TH[np.newaxis])[0]
    if rule_log - np.log(solution.latency_s) < EASY and rng.random() > EASY_KEPT:
        return None
    return Exercise(case, solution, drawn.family, drawn.archetype)
