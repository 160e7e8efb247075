"""`egrl-paper`: the published agent (arXiv 2007.07298), learning this one problem from nothing.

A generation is 22 evaluations: 20 individuals, and two maps of the learner. Maps that do not fit
count as evaluations although nothing is measured. Before the first, everything in the outermost
tier is tried, so that there is a result wherever that fits.
"""

from dataclasses import dataclass

import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.agents.paper.config import FAST, PaperConfig
from egrl.evaluators.base import Evaluator
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, Search, no_progress


@dataclass(frozen=True, slots=True)
class EgrlPaper(Placer):
    """Evolution and soft actor-critic over one replay buffer.

    Attributes:
        config: hyper-parameters.
        evaluator: the machine to learn on; the engine where None.
    """

    config: PaperConfig = FAST
    evaluator: Evaluator | None = None

    def place(
        self,
        problem: PlacementProblem,
        budget: Budget,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> PlacerResult:
        """See `Placer.place`."""
        # Torch takes seconds to import, and only those who learn need it.
        from egrl.agents.paper.train import train

        if budget.evaluations is None and budget.seconds is None:
            budget = Budget(evaluations=self.config.evaluations)
        search = Search(problem, budget, progress, self.evaluator)
        train(problem, self.config, search, rng)
        return search.result()
