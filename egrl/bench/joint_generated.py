"""The precision head against keys at random, on generated problems that it never saw.

All searches begin with the same placement of the same model, have the same rounds and the same
evaluations for the placement of each choice, and keep to the same bound by the sum of parts; they
differ in who proposes. `uniform` is the fastest single precision that keeps to the bound, placed
with as many evaluations as a whole search has.
"""

from collections.abc import Iterator
from functools import partial

import msgspec
import numpy as np

from egrl.agents.egrl.checkpoint import Policy, load_policy
from egrl.compression.joint.exercises import Exercise, draw_exercise
from egrl.compression.joint.head import Head, load_head
from egrl.compression.joint.proposals import precision_agent
from egrl.compression.joint.search import Effort, joint_search
from graph_ir.errors import UnmetRequirementError

SEED = 1_000_003
"""Of the problems; the head was trained on those of other seeds."""

PROBLEMS = 24

OP_RANGE = (20, 120)

EFFORT = Effort(0, 0.0, 12, 200, 0)

START_EVALUATIONS = 1000


class GeneratedRow(msgspec.Struct, frozen=True):
    """One generated problem.

    Attributes:
        problem: its index.
        ops: of the workload.
        products: whose precision is chosen.
        kept_s: latency with everything kept, placed.
        uniform_s: of the fastest single precision within the bound.
        drawn_s: of the search with keys at random.
        untrained_s: of the agent whose head answers zero.
        trained_s: of the agent.
        failed: always empty.
    """

    problem: int
    ops: int
    products: int
    kept_s: float
    uniform_s: float
    drawn_s: float
    untrained_s: float
    trained_s: float
    failed: str = ""

    @property
    def key(self) -> str:
        """See `row_file.Measured`."""
        return f"{self.problem:03d}"


def generated_rows(known: int) -> Iterator[GeneratedRow]:
    """Rows from one on."""
    policy, head = load_policy(), load_head()
    zero = Head({name: np.zeros_like(w) for name, w in head.weights.items()}, head.provenance)
    for problem in range(known, PROBLEMS):
        rng = np.random.default_rng([SEED, problem])
        exercise = draw_exercise(rng, OP_RANGE, START_EVALUATIONS)
        yield GeneratedRow(
            problem,
            exercise.problems[0].op_count,
            len(exercise.mixtures.ops),
            exercise.start.latency_s,
            _uniform(exercise),
            _searched(exercise, policy, None),
            _searched(exercise, policy, zero),
            _searched(exercise, policy, head),
        )


def _searched(exercise: Exercise, policy: Policy, head: Head | None) -> float:
    made = None
    if head is not None:
        made = partial(precision_agent, head, policy, exercise.costs, exercise.traits)
    place = exercise.place(0)
    search = joint_search(place, exercise.problems, exercise.costs, EFFORT, made)
    found = search.run(exercise.bounds, [exercise.start])
    return exercise.start.latency_s if found is None else found.latency_s


def _uniform(exercise: Exercise) -> float:
    best_s = exercise.start.latency_s
    place = exercise.place(0)
    for precision in range(1, len(exercise.traits)):
        choice_S = (precision,) * len(exercise.mixtures.ops)
        if exercise.costs.error(choice_S) > exercise.bounds.error:
            continue
        try:
            placed = place.place(choice_S, [], EFFORT.rounds * EFFORT.evaluations)
        except UnmetRequirementError:
            continue
        best_s = min(best_s, placed.latency_s)
    return best_s
