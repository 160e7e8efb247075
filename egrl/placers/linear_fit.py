"""Fit the linear rule: `python -m egrl.placers.linear_fit --seed 0 -o FILE`.

The covariance matrix adaptation evolution strategy (Hansen, "The CMA evolution strategy: a
tutorial", arXiv 1604.00772, figure 6 with its default parameters) looks for the weights that make
the mean log of latency over the best reference's least, on generated problems. It begins with
weights that order tensors as `acts-first` does.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

import egrl
from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem
from egrl.generator.problems import generate_problem
from egrl.placers.acts_first import ActsFirst
from egrl.placers.constructive import ConstructivePlacer
from egrl.placers.decoder import build_decoder
from egrl.placers.greedy import Greedy
from egrl.placers.linear_features import FEATURES
from egrl.placers.linear_rule import LinearWeights, Scorable, build_scorable, rule_homes
from egrl.placers.native import Native
from graph_ir.errors import UnmetRequirementError

F64 = NDArray[np.float64]

REFERENCES: tuple[type[ConstructivePlacer], ...] = (ActsFirst, Greedy, Native)

UNPLACED = 1.0
"""Log of the ratio that counts where a rule leaves a tensor without a place."""

START = {
    "depth": 10.0, "buffer": 6.0, "buffer_size": -1.0, "resident_saving": 1.0,
    "resident_size": -1.0, "mode_bytes": -2.0,
}  # fmt: skip
STEP = 0.5

DIGITS = 4
"""Decimals of the weights that are kept."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A problem to fit on.

    Attributes:
        scorable: as the rule sees it.
        best_s: latency of the best reference.
        acts_first: log of the ratio of `acts-first` to it.
    """

    scorable: Scorable
    best_s: float
    acts_first: float


def samples(rng: np.random.Generator, count: int, op_range: tuple[int, int]) -> list[Sample]:
    """Generated problems for which some reference finds a place for everything."""
    found: list[Sample] = []
    while len(found) < count:
        sample = build_sample(generate_problem(rng, op_range=op_range))
        if sample is not None:
            found.append(sample)
    return found


def build_sample(problem: PlacementProblem) -> Sample | None:
    """A problem and its references, or None where none of them fits."""
    decoder = build_decoder(problem)
    latencies: list[float] = []
    for reference in REFERENCES:
        try:
            latencies.append(evaluate(problem, reference().homes(problem, decoder))[0])
        except UnmetRequirementError:
            latencies.append(np.inf)
    best_s = min(latencies)
    if best_s == np.inf:
        return None
    acts_first = float(np.log(latencies[0] / best_s)) if latencies[0] < np.inf else UNPLACED
    return Sample(build_scorable(decoder), best_s, acts_first)


def loss(sample: Sample, weights_F: F64) -> float:
    """Log of the rule's latency over the best reference's."""
    try:
        homes_T = rule_homes(sample.scorable, weights_F)
    except UnmetRequirementError:
        return UNPLACED
    return float(np.log(evaluate(sample.scorable.decoder.problem, homes_T)[0] / sample.best_s))


def mean_loss(drawn: list[Sample], weights_F: F64) -> float:
    """Mean of `loss`."""
    return float(np.mean([loss(sample, weights_F) for sample in drawn]))


def fit(drawn: list[Sample], rng: np.random.Generator, generations: int, population: int) -> F64:
    """The best weights of the search, rounded.

    Args:
        drawn: problems.
        rng: source of all randomness.
        generations: of the strategy.
        population: candidates per generation, at least 4.
    """
    n = len(FEATURES)
    parents = population // 2
    share_P = np.log((population + 1) / 2) - np.log(np.arange(1, parents + 1))
    share_P /= share_P.sum()
    mass = 1.0 / float((share_P**2).sum())
    for_step, for_path = (mass + 2) / (n + mass + 5), (4 + mass / n) / (n + 4 + 2 * mass / n)
    damping = 1 + 2 * max(0.0, np.sqrt((mass - 1) / (n + 1)) - 1) + for_step
    rank_one = 2 / ((n + 1.3) ** 2 + mass)
    rank_many = min(1 - rank_one, 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass))
    usual = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
    mean_F = np.array([START.get(name, 0.0) for name in FEATURES])
    best_F = mean_F.round(DIGITS)
    best = mean_loss(drawn, best_F)
    step, spread_FF = STEP, np.eye(n)
    path_F, step_path_F = np.zeros(n), np.zeros(n)
    for generation in range(generations):
        lengths_F, axes_FF = np.linalg.eigh(spread_FF)
        lengths_F = np.sqrt(np.maximum(lengths_F, 1e-20))
        moves_PF = (rng.standard_normal((population, n)) * lengths_F) @ axes_FF.T
        tried_PF = (mean_F + step * moves_PF).round(DIGITS)
        losses_P = np.array([mean_loss(drawn, weights_F) for weights_F in tried_PF])
        order = np.argsort(losses_P, kind="stable")[:parents]
        if losses_P[order[0]] < best:
            best, best_F = float(losses_P[order[0]]), tried_PF[order[0]]
        move_F = share_P @ moves_PF[order]
        mean_F = mean_F + step * move_F
        whitened_F = axes_FF @ ((axes_FF.T @ move_F) / lengths_F)
        step_path_F = (1 - for_step) * step_path_F
        step_path_F += np.sqrt(for_step * (2 - for_step) * mass) * whitened_F
        length = float(np.linalg.norm(step_path_F))
        faded = 1 - (1 - for_step) ** (2 * (generation + 1))
        is_steady = length / np.sqrt(faded) < (1.4 + 2 / (n + 1)) * usual
        path_F = (1 - for_path) * path_F
        path_F += is_steady * np.sqrt(for_path * (2 - for_path) * mass) * move_F
        lost = (1 - is_steady) * for_path * (2 - for_path)
        spread_FF = (1 - rank_one - rank_many + rank_one * lost) * spread_FF
        spread_FF += rank_one * np.outer(path_F, path_F)
        spread_FF += rank_many * (share_P[:, np.newaxis] * moves_PF[order]).T @ moves_PF[order]
        step *= float(np.exp((for_step / damping) * (length / usual - 1)))
        print(f"generation {generation}: best {best:.5f}, step {step:.3f}", file=sys.stderr)
    return best_F


def fitted(
    seed: int, problems: int, generations: int, population: int, op_range: tuple[int, int]
) -> LinearWeights:
    """Fit on some problems and test on as many others."""
    for_fit, for_search, for_test = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)
    )
    drawn = samples(for_fit, problems, op_range)
    weights_F = fit(drawn, for_search, generations, population)
    others = samples(for_test, problems, op_range)
    return LinearWeights(
        schema=1,
        version=egrl.__version__,
        seed=seed,
        problems=problems,
        generations=generations,
        population=population,
        fitted=round(mean_loss(drawn, weights_F), 6),
        held_out=round(mean_loss(others, weights_F), 6),
        acts_first=round(float(np.mean([sample.acts_first for sample in others])), 6),
        weights=dict(zip(FEATURES, weights_F.tolist(), strict=True)),
    )


def main(arguments: list[str]) -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(prog="python -m egrl.placers.linear_fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--problems", type=int, default=300, help="generated problems to fit on")
    parser.add_argument("--generations", type=int, default=80)
    parser.add_argument("--population", type=int, default=12)
    parser.add_argument("--least-ops", type=int, default=20)
    parser.add_argument("--most-ops", type=int, default=500)
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    found = fitted(
        given.seed,
        given.problems,
        given.generations,
        given.population,
        (given.least_ops, given.most_ops),
    )
    given.out.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
