"""What a search begins with: the references, and the policy's placements beside them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.rectify import Rectifier
from egrl.agents.egrl.zero_shot import ZeroShot
from egrl.placers.acts_first import ActsFirst
from egrl.placers.addressable import offer_addressable
from egrl.placers.all_outermost import AllOutermost
from egrl.placers.base import Search
from egrl.placers.constructive import ConstructivePlacer
from egrl.placers.decoder import Decoder
from egrl.placers.greedy import Greedy
from egrl.placers.native import Native
from graph_ir.errors import UnmetRequirementError

I8 = NDArray[np.int8]

REFERENCES: tuple[type[ConstructivePlacer], ...] = (ActsFirst, Greedy, Native, AllOutermost)


@dataclass(frozen=True, slots=True)
class Opening:
    """What has been tried before any search.

    Attributes:
        shot: what the policy says.
        starts: other placements, int8 [T] each.
    """

    shot: ZeroShot
    starts: list[I8]


def references_of(decoder: Decoder) -> Iterator[I8]:
    """What the references give, one after another."""
    for reference in REFERENCES:
        try:
            yield reference().homes(decoder.problem, decoder)
        except UnmetRequirementError:
            continue  # This rule finds nothing feasible here; others may.


def try_placements(search: Search, rectifier: Rectifier, homes_PT: I8) -> None:
    """Evaluate placements, as many as the budget allows, and offer the best."""
    if search.budget.evaluations is not None:
        homes_PT = homes_PT[: max(0, search.budget.evaluations - search.evaluations)]
    if not len(homes_PT) or (search.exhausted and search.evaluations):
        return
    latency_P = search.measure(homes_PT)
    for p in np.argsort(latency_P, kind="stable").tolist():
        if np.isfinite(latency_P[p]) and offer_addressable(
            search, rectifier, homes_PT[p], float(latency_P[p])
        ):
            break
