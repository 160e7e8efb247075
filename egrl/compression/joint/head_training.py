"""Training of the precision head: regret against its own sampled decodes, on generated problems.

Keys are sampled around what the head says, decoded by the knapsack under an incumbent's homes, and
what comes out is placed in those homes, as far as they fit, and timed by the engine. A sample's
advantage is how much faster it is than the mean of all; with Gaussian noise the score-function
estimate of the gradient is the mean of advantage times noise (`egrl.agents.egrl.regret` does the
same with placements).

Axes: B samples, S products, P precisions.
"""

from dataclasses import dataclass, field

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from accelerator_sim.engine import evaluate_batch
from accelerator_sim.rectify import build_rectifier
from egrl.agents.egrl.checkpoint import Policy
from egrl.compression.joint.exercises import Exercise, draw_exercise
from egrl.compression.joint.head import PRICE_NOISE, WORTH_NOISE, Genes
from egrl.compression.joint.head_network import HeadNetwork
from egrl.compression.joint.head_view import HeadView, choice_features, product_embeddings
from egrl.compression.joint.placed import PlacedChoice, named_homes
from egrl.compression.joint.search import Effort, JointSearch, joint_search
from egrl.placers.decoder import build_decoder
from graph_ir.errors import EgrlError, UnmetRequirementError

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

NO_SPREAD = 2e-3
"""Spread of the logarithm of latencies below which advantages are not blown up."""

FAILED = 0.5
"""Logarithm by which keys that decode to nothing count as slower than the incumbent."""

START_EVALUATIONS = 400

INCUMBENT = Effort(0, 0.0, 3, 100, 0)
"""Of the short search that gives an exercise its second incumbent."""


class HeadTrainingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hyper-parameters.

    Attributes:
        steps: gradient steps.
        batch: exercises of a step.
        samples: decodes that regret is estimated from, half of them mirrored.
        exercises: generated problems.
        op_range: fewest and most ops of one.
        rate: of Adam, at the beginning; it falls as a cosine to a twentieth.
        gradient_norm: longer gradients are cut.
        seed: of everything.
    """

    steps: int = 240
    batch: int = 4
    samples: int = 8
    exercises: int = 120
    op_range: tuple[int, int] = (20, 60)
    rate: float = 3e-3
    gradient_norm: float = 1.0
    seed: int = 0


@dataclass(slots=True)
class Lesson:
    """An exercise with what does not change while it is learned from.

    Attributes:
        exercise: the problem.
        search: whose decoder and placement it uses.
        product_SD: of the graph network.
        incumbents: whose homes prices are taken from.
        known: latencies by incumbent and choice.
    """

    exercise: Exercise
    search: JointSearch
    product_SD: F32
    incumbents: tuple[PlacedChoice, ...]
    known: dict[tuple[int, tuple[int, ...]], float] = field(default_factory=dict)

    def view(self, which: int) -> HeadView:
        """What the head sees with one of the incumbents."""
        best, exercise = self.incumbents[which], self.exercise
        choice_SPF = choice_features(
            self.search.decoder.prices(best.homes), exercise.costs, exercise.bounds,
            exercise.traits, best.choice_S, best.latency_s,
            int(best.problem.arrays.capacity_bytes_L[-1]),
        )  # fmt: skip
        return HeadView(self.product_SD, choice_SPF)

    def log_of(self, which: int, genes: Genes) -> float:
        """Logarithm of the latency that genes decode to, over the incumbent's."""
        best = self.incumbents[which]
        free_S = np.ones(len(best.choice_S), np.bool_)
        choice_S = self.search.decoder.decode(best, self.exercise.bounds, genes.keys(), free_S)
        if choice_S is None:
            return FAILED
        if (which, choice_S) not in self.known:
            self.known[which, choice_S] = self._timed(best, choice_S)
        return self.known[which, choice_S]

    def _timed(self, best: PlacedChoice, choice_S: tuple[int, ...]) -> float:
        try:
            problem = self.search.place.problem(choice_S)
            decoder = build_decoder(problem)
        except UnmetRequirementError:
            return FAILED
        rectifier = build_rectifier(problem, decoder.tables, decoder.values)
        wanted_PT = np.stack([named_homes(problem, best.homes), decoder.values.ideal_T])
        batch = rectifier.batch(wanted_PT.astype(np.int8))
        if not batch.fits_P.any():
            return FAILED
        found = evaluate_batch(problem, batch.homes_PT[batch.fits_P])
        return float(np.log(found.latency_s_P.min() / best.latency_s))


def build_lesson(policy: Policy, seed: int, index: int, op_range: tuple[int, int]) -> Lesson:
    """The exercise of a seed and an index.

    Args:
        policy: whose graph network the head reads.
        seed: of the training.
        index: of the exercise.
        op_range: fewest and most ops.
    """
    rng = np.random.default_rng([seed, index])
    exercise = draw_exercise(rng, op_range, START_EVALUATIONS)
    search = joint_search(exercise.place(0), exercise.problems, exercise.costs, INCUMBENT)
    better = search.run(exercise.bounds, [exercise.start])
    incumbents = (exercise.start,) if better is None else (exercise.start, better)
    embeddings = product_embeddings(policy, exercise.problems[0], exercise.costs)
    return Lesson(exercise, search, embeddings, incumbents)


class HeadTraining:
    """State of a training."""

    def __init__(self, config: HeadTrainingConfig, lessons: list[Lesson]) -> None:
        """Begin with random weights whose answers are zero."""
        self.config, self.lessons = config, lessons
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = HeadNetwork(lessons[0].product_SD.shape[1])
        self.adam = torch.optim.Adam(self.network.parameters(), lr=config.rate)
        self.rng = np.random.default_rng([config.seed, 1])
        self.step = 0

    def advance(self) -> float:
        """One gradient step; the mean logarithm of what the samples reached over the incumbents.

        Raises:
            EgrlError: the loss is not finite.
        """
        config = self.config
        share = self.step / max(1, config.steps)
        rate = config.rate * (0.05 + 0.95 * 0.5 * (1.0 + float(np.cos(np.pi * share))))
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.zero_grad()
        reached = []
        for _ in range(config.batch):
            lesson = self.lessons[int(self.rng.integers(len(self.lessons)))]
            loss, mean_log = self._loss(lesson)
            if not bool(torch.isfinite(loss)):
                raise EgrlError(f"training diverged at step {self.step}: the loss is {loss.item()}")
            torch.autograd.backward(loss / config.batch)
            reached.append(mean_log)
        clip_grad_norm_(self.network.parameters(), config.gradient_norm)
        self.adam.step()
        self.step += 1
        return float(np.mean(reached))

    def weights(self) -> dict[str, F32]:
        """By name."""
        return {name: value.numpy().copy() for name, value in self.network.state_dict().items()}

    def _loss(self, lesson: Lesson) -> tuple[Tensor, float]:
        which = int(self.rng.integers(len(lesson.incumbents)))
        view = lesson.view(which)
        worth, price = self.network(
            torch.from_numpy(view.product_SD), torch.from_numpy(view.choice_SPF)
        )
        said = Genes(
            worth.detach().numpy().astype(np.float64), price.detach().numpy().astype(np.float64)
        )
        half = -(-self.config.samples // 2)
        worth_B2 = self.rng.standard_normal((half, 2))
        price_BSP = self.rng.standard_normal((half, *said.price_SP.shape))
        worth_B2 = np.concatenate([worth_B2, -worth_B2])
        price_BSP = np.concatenate([price_BSP, -price_BSP])
        log_B = np.array(
            [
                lesson.log_of(
                    which,
                    Genes(
                        said.worth_2 + WORTH_NOISE * worth_B2[b],
                        said.price_SP + PRICE_NOISE * price_BSP[b],
                    ),
                )
                for b in range(len(worth_B2))
            ]
        )
        advantage_B = (log_B.mean() - log_B) / max(float(log_B.std()), NO_SPREAD)
        to_worth = advantage_B @ worth_B2 / len(log_B) / WORTH_NOISE
        to_price = np.tensordot(advantage_B, price_BSP, 1) / len(log_B) / PRICE_NOISE
        to_price /= np.sqrt(to_price.size)
        loss = -(
            (torch.from_numpy(to_worth.astype(np.float32)) * worth).sum()
            + (torch.from_numpy(to_price.astype(np.float32)) * price).sum()
        )
        return loss, float(log_B.mean())
