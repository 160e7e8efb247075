"""`egrl-paper` as `egrl train` sees it."""

from collections.abc import Mapping
from statistics import fmean

import msgspec
import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.agents.paper import state
from egrl.agents.paper.config import PaperConfig
from egrl.agents.paper.train import Training
from egrl.placers.base import Search
from egrl.training.agents import Array, Measures
from graph_ir.errors import InputError


class PaperRun:
    """See `egrl.training.agents.Run`."""

    def __init__(
        self,
        problem: PlacementProblem,
        config: PaperConfig,
        search: Search,
        rng: np.random.Generator,
    ) -> None:
        self._training = Training(problem, config, search, rng)

    @property
    def reference_s(self) -> float:
        """See `Run`."""
        return self._training.judge.reference_s

    def generation(self) -> Measures:
        """See `Run`."""
        self._training.generation()
        found = self._training.measures
        losses = {"critic": found.critic_losses, "actor": found.actor_losses}
        return Measures(
            found.tried,
            found.valid,
            found.best_reward,
            len(found.critic_losses),
            {name: fmean(values) for name, values in losses.items() if values},
        )

    def arrays(self) -> Mapping[str, Array]:
        """See `Run`."""
        return state.arrays_of(self._training)

    def facts(self) -> state.PaperFacts:
        """See `Run`."""
        return state.facts_of(self._training)

    def restore(self, arrays: Mapping[str, Array], facts: object) -> None:
        """See `Run`."""
        try:
            known = msgspec.convert(facts, state.PaperFacts)
        except msgspec.ValidationError as error:
            raise InputError(str(error)) from error
        state.restore(self._training, arrays, known)
