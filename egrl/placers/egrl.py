"""`egrl`: our agent. A trained policy places at once; the rest of the budget improves on that.

With the engine as the machine, a population whose newcomers the policy draws and local search take
turns (`egrl/agents/egrl/improve.py`). With a machine that nobody has a model of (`evaluator`), a
learner finds out from all measurements how it differs from the engine, and plans for that
(`egrl/agents/egrl/unknown.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate, evaluate_batch
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import Rectifier, build_rectifier
from egrl.agents.egrl.checkpoint import SHIPPED, cached_policy
from egrl.agents.egrl.config import DEFAULT, EgrlConfig
from egrl.agents.egrl.improve import Improvement, begin_improvement
from egrl.agents.egrl.observation import Observation, observe
from egrl.agents.egrl.population import PopulationConfig, begin_population, encoded
from egrl.agents.egrl.unknown import UnknownSearch, build_unknown
from egrl.agents.egrl.zero_shot import (
    STRENGTHS,
    UNCORRECTED,
    Head,
    Spoilt,
    ZeroShot,
    zero_shot,
)
from egrl.evaluators.base import Evaluator
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, Search, no_progress
from egrl.placers.decoder import Decoder, build_decoder
from egrl.placers.no_room import no_room
from egrl.placers.opening import Opening, references_of, try_placements
from graph_ir.errors import InputError

I8 = NDArray[np.int8]

DEFAULT_EVALUATIONS = 20_000

DEFAULT_POPULATION = PopulationConfig()

EARLY_SAMPLES = 8
"""Around the rule, and around the policy, before a generation, which on thousands of ops takes as
long as all before it."""


@dataclass(frozen=True, slots=True)
class Egrl(Placer):
    """The policy, and search from what it gives.

    Attributes:
        policy: file of the policy; None for an untrained one, which is a rule.
        start_T: int8, one more placement to begin with, or None.
        evaluator: the machine; the engine where None.
        samples: placements tried around the policy's.
        seeds: also try what the rule and the references give.
        spoilt: a control; see `zero_shot`.
        head: an ablation; see `ZeroShot`.
        search: go on after the samples, where the budget allows.
        population: sizes and rates of the search.
        walks: with local search.
        config: hyper-parameters of the search on a machine; the defaults where None. Without an
            evaluator nothing needs them, and they are refused.
    """

    policy: Path | None = SHIPPED
    start_T: I8 | None = field(default=None)
    evaluator: Evaluator | None = None
    samples: int = 64
    seeds: bool = True
    spoilt: Spoilt = "no"
    head: Head = "pairs"
    search: bool = True
    population: PopulationConfig = DEFAULT_POPULATION
    walks: bool = True
    config: EgrlConfig | None = None

    def place(
        self,
        problem: PlacementProblem,
        budget: Budget,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> PlacerResult:
        """See `Placer.place`.

        Raises:
            InputError: the policy cannot be read, or `config` is given without an evaluator.
            UnmetRequirementError: nothing feasible was found.
        """
        if self.evaluator is None and self.config is not None:
            raise InputError(
                "placer egrl: its hyper-parameters are those of the search on a machine; expected "
                "--evaluator beside --placer-config"
            )
        if budget.evaluations is None and budget.seconds is None:
            config = DEFAULT if self.config is None else self.config
            engine = self.evaluator is None
            budget = Budget(evaluations=DEFAULT_EVALUATIONS if engine else config.evaluations)
        search = Search(problem, budget, progress, self.evaluator)
        if self.evaluator is not None:
            self.learner(search, build_decoder(problem), rng).run()
            return search.result()
        decoder = build_decoder(problem)
        rectifier = build_rectifier(problem, decoder.tables, decoder.values)
        opening = self.open(search, decoder, rectifier, rng)
        improvement = self.improvement(search, opening, rectifier, rng) if self.search else None
        if improvement is None:
            try_placements(search, rectifier, opening.shot.samples(self.samples, rng))
        else:
            improvement.run()
        return search.result()

    def open(
        self, search: Search, decoder: Decoder, rectifier: Rectifier, rng: np.random.Generator
    ) -> Opening:
        """Try what comes before any search: the policy's placements and the references.

        Where time counts, something is held before the network has been asked
        (docs/decisions/0039-the-first-second.md).

        Raises:
            InputError: the policy cannot be read.
            UnmetRequirementError: not even the references find room.
        """
        references = references_of(decoder) if self.seeds else iter(())
        known = list(islice(references, 1))
        early = self.seeds and search.budget.evaluations is None
        observation: Observation | None = None
        if early:
            for homes_T in known:
                offer_addressable(search, rectifier, homes_T, evaluate(search.problem, homes_T)[0])
            observation = observe(search.problem, decoder)
            rule = replace(self, policy=None)._shot(decoder, rectifier, rng, observation)
            try_placements(search, rectifier, rule.alone())
            try_placements(search, rectifier, rule.samples(EARLY_SAMPLES, rng))
        shot = self._shot(decoder, rectifier, rng, observation)
        try_placements(search, rectifier, shot.first())
        if early:
            try_placements(search, rectifier, shot.samples(EARLY_SAMPLES, rng))
        starts = self._starts([*known, *references])
        if starts:
            try_placements(search, rectifier, np.stack(starts))
        elif self.seeds and search.best_homes_T is None:
            raise no_room(search.problem)
        return Opening(shot, starts)

    def improvement(
        self, search: Search, opening: Opening, rectifier: Rectifier, rng: np.random.Generator
    ) -> Improvement | None:
        """The search from there; None where there is nothing to choose or to go on from."""
        shot = opening.shot
        if search.best_homes_T is None or not len(shot.decoder.free):
            return None
        encodings = [encoded(shot.decoder, shot.rule, homes_T) for homes_T in opening.starts]
        seeds = [shot.keys, shot.rule, *encodings] if self.seeds else [shot.keys]
        population = begin_population(
            self.population, shot.decoder, shot.decode, shot.proposals, shot.keys, seeds, rng
        )
        return begin_improvement(search, population, rectifier, rng, self.walks)

    def learner(self, search: Search, decoder: Decoder, rng: np.random.Generator) -> UnknownSearch:
        """The search on a machine, which has measured nothing yet.

        Args:
            search: with the machine as its evaluator.
            decoder: of its problem.
            rng: source of all randomness.

        Raises:
            InputError: the policy cannot be read.
            UnmetRequirementError: nothing feasible was found to begin with.
        """
        rectifier = build_rectifier(search.problem, decoder.tables, decoder.values)
        shot = self._shot(decoder, rectifier, rng)
        first_PT = shot.first()
        # Measurements are dear here, and the engine is free: only its favourite is measured.
        modelled_P = evaluate_batch(search.problem, first_PT).latency_s_P
        favourite_PT = first_PT[np.argsort(modelled_P, kind="stable")[:1]]
        references = references_of(decoder) if self.seeds else ()
        starts = [*favourite_PT, *self._starts(references)]
        config = DEFAULT if self.config is None else self.config
        return build_unknown(search, decoder, starts, rng, config)

    def _shot(
        self,
        decoder: Decoder,
        rectifier: Rectifier,
        rng: np.random.Generator,
        observation: Observation | None = None,
    ) -> ZeroShot:
        """What the policy says of the problem."""
        policy = None if self.policy is None else cached_policy(self.policy)
        return zero_shot(
            decoder.problem, decoder, rectifier, policy, rng, self.spoilt, self.head, observation,
            STRENGTHS if self.seeds else UNCORRECTED,
        )  # fmt: skip

    def _starts(self, references: Iterable[I8]) -> list[I8]:
        """Placements that are tried after the policy's own."""
        if self.seeds and self.start_T is not None:
            return [np.array(self.start_T, np.int8), *references]
        return list(references)
