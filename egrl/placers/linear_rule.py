"""`linear-rule`: one sort by a fitted linear score, the simplest rule that is learned.

Every tensor in every home has a score, the weighted sum of a dozen numbers
(`linear_features.py`). Tensors are placed by their highest score, each in the home of highest score
in which it fits (`decoder.py`). The weights in `linear_rule.json` are fitted on generated problems
by `linear_fit.py`; the file says how.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placers.constructive import ConstructivePlacer
from egrl.placers.decoder import Decoder
from egrl.placers.linear_features import FEATURES, linear_features
from graph_ir.errors import InputError

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I8 = NDArray[np.int8]

SHIPPED = Path(__file__).with_name("linear_rule.json")

RESOLUTION = 9
"""Decimals of a score, so that no order hangs on the last bit of a sum."""


class LinearWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fitted rule and where it comes from.

    Attributes:
        schema: of the file.
        version: of the package that fitted it.
        seed: of the fit.
        problems: generated ones that it was fitted on.
        generations: of the fit.
        population: of the fit.
        fitted: mean log of the latency over the best reference's, on those problems.
        held_out: the same on as many others.
        acts_first: that of `acts-first` on the others.
        weights: by name of the feature.
    """

    schema: int
    version: str
    seed: int
    problems: int
    generations: int
    population: int
    fitted: float
    held_out: float
    acts_first: float
    weights: dict[str, float]

    def vector(self) -> F64:
        """The weights in the order of `FEATURES`."""
        return np.array([self.weights[name] for name in FEATURES])


@lru_cache(maxsize=8)
def read_weights(path: Path) -> LinearWeights:
    """Read a fitted rule.

    Raises:
        InputError: it cannot be read, or is of other features.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=LinearWeights)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: {error}") from error
    if sorted(found.weights) != sorted(FEATURES) or not np.isfinite(found.vector()).all():
        raise InputError(f"{path}: weights: expected a number for each of {', '.join(FEATURES)}")
    return found


@dataclass(frozen=True, slots=True)
class Scorable:
    """A problem as the rule sees it.

    Attributes:
        decoder: of the problem.
        features_THF: of every tensor in every home.
        ties_F: rank of each free tensor among equals: earlier, larger, then by name.
    """

    decoder: Decoder
    features_THF: F64
    ties_F: I64


def build_scorable(decoder: Decoder) -> Scorable:
    """What scoring the tensors of a problem needs, once per problem."""
    tensors = decoder.problem.workload.tensors
    free = decoder.free.tolist()
    ranked = sorted(
        range(len(free)),
        key=lambda r: (
            tensors[free[r]].start,
            -tensors[free[r]].size_bytes,
            tensors[free[r]].name,
        ),
    )
    ties_F = np.empty(len(free), np.int64)
    ties_F[ranked] = np.arange(len(free))
    return Scorable(decoder, linear_features(decoder), ties_F)


def rule_homes(scorable: Scorable, weights_F: F64) -> I8:
    """The placement that some weights give.

    Args:
        scorable: the problem.
        weights_F: in the order of `FEATURES`.

    Raises:
        UnmetRequirementError: a tensor fits nowhere any more.
    """
    decoder = scorable.decoder
    allowed_TH = decoder.problem.allowed_TH
    score_TH = np.round(scorable.features_THF @ weights_F, RESOLUTION)
    score_TH = np.where(allowed_TH, score_TH, -np.inf)
    homes_TH = np.argsort(-score_TH, axis=1, kind="stable")
    choices_TH = np.where(np.take_along_axis(allowed_TH, homes_TH, axis=1), homes_TH, -1)
    best_F = score_TH.max(axis=1)[decoder.free]
    order = decoder.free[np.lexsort((scorable.ties_F, -best_F))]
    return decoder.decode(order, choices_TH.astype(np.int8))


@dataclass(frozen=True, slots=True)
class LinearRule(ConstructivePlacer):
    """One sort by a fitted linear score.

    Attributes:
        weights: file of a fitted rule.
    """

    weights: Path = SHIPPED

    def homes(self, problem: PlacementProblem, decoder: Decoder) -> I8:
        """See `ConstructivePlacer.homes`."""
        return rule_homes(build_scorable(decoder), read_weights(self.weights).vector())
