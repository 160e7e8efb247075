"""The planner: the best placement by the engine and a learner's correction of it.

Axis letters: T tensors, H homes, L tiers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.incremental.moves import build_state, reset
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import Rectifier, build_rectifier
from egrl.agents.egrl.config import DEFAULT, EgrlConfig
from egrl.placers.decoder import Decoder
from egrl.placers.local_search import search_steps
from egrl.placers.session import demotion_cost

F64 = NDArray[np.float64]
I8 = NDArray[np.int8]

REFILLS = 4
"""See `search_steps`."""


@dataclass(slots=True)
class Planner:
    """Local search on a corrected model.

    Attributes:
        problem: as the model has it.
        decoder: of it.
        rectifier: of it.
        cost_TH: what demoting costs.
        capacity_bytes_L: what placements keep to.
        random: state of the compiled loop's generator.
        cold_share: last temperature as a share of the latency.
    """

    problem: PlacementProblem
    decoder: Decoder
    rectifier: Rectifier
    cost_TH: F64
    capacity_bytes_L: NDArray[np.int64]
    random: NDArray[np.uint64]
    cold_share: float

    def plan(self, start_T: I8, factor: float, bias_TH: F64, hot: float, evaluations: int) -> I8:
        """Improve a placement by a corrected model.

        Args:
            start_T: int8, fits.
            factor: of the engine's latency.
            bias_TH: seconds to add for a tensor in a home.
            hot: first temperature as a share of the latency.
            evaluations: of the corrected model.

        Returns:
            int8, the best placement met; it fits by live bytes.
        """
        tables = self.decoder.tables._replace(capacity_bytes_L=self.capacity_bytes_L)
        batch = self.rectifier.batch(start_T[np.newaxis], self.capacity_bytes_L)
        start_T = batch.homes_PT[0]
        free = self.decoder.free
        if not len(free):
            return start_T
        state = build_state(tables, start_T)
        scaled_TH = bias_TH / factor
        tensors = np.arange(len(start_T))
        latency_s = float(reset(tables, state))
        best_T = start_T.copy()
        search_steps(
            tables, state, free, free, self.cost_TH, scaled_TH, np.inf, REFILLS, self.random,
            hot * latency_s, self.cold_share * latency_s, evaluations, best_T,
            latency_s + float(scaled_TH[tensors, start_T].sum()),
        )  # fmt: skip
        return best_T


def build_planner(
    problem: PlacementProblem,
    decoder: Decoder,
    rng: np.random.Generator,
    config: EgrlConfig = DEFAULT,
) -> Planner:
    """The planner of a problem.

    Args:
        problem: as the model has it.
        decoder: of it.
        rng: seeds the compiled loop's generator.
        config: hyper-parameters.
    """
    rectifier = build_rectifier(problem, decoder.tables, decoder.values)
    return Planner(
        problem,
        decoder,
        rectifier,
        demotion_cost(problem, rectifier),
        decoder.tables.capacity_bytes_L.copy(),
        rng.integers(1, 2**63, 1).astype(np.uint64),
        config.cold_share,
    )
