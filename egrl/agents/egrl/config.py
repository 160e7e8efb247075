"""Every hyper-parameter of the search on an unknown machine, and the file that holds them."""

import math
from dataclasses import dataclass
from pathlib import Path

from egrl.agents.config_file import load_table
from graph_ir.errors import InputError


@dataclass(frozen=True, slots=True)
class EgrlConfig:
    """Hyper-parameters of the learner, the planner and their rounds.

    Attributes:
        evaluations: default budget, in measurements.
        temperatures: of the learner's draws, one for every measurement of a round; see
            `Posterior.draw`.
        plan_temperatures: first temperatures of the planner in a round, as shares of the latency.
        plan_evaluations: of the corrected model for one placement.
        later_from: measurements after which plans are shorter: the best is near, and what is
            left to find out is the machine.
        later_plan_evaluations: of the corrected model for one placement from then on.
        model_temperatures: likewise of the walks to the model's own optimum, one after the other.
        model_evaluations: of the model for them all together.
        cold_share: last temperature of the planner as a share of the latency.
        retries: plans for one measurement before it is given up as known already.
        retry_temperature: added to the least temperature of the draw at every retry.
        kicked: tensors that change their home at random where nothing new is promising.
        scale_spread: prior standard deviation of how many times longer than modelled everything
            takes, and of a constant, as a share of the latency.
        common_spread: of what tensors of a kind or of a family of ops have in common, as a share
            of what their homes decide.
        own_spread: likewise of one tensor in one home.
        least_spread: of one tensor in one home, as a share of the longest that any tensor takes
            in its best home.
        noise_shares: what the terms cannot explain, as a share of the latency: the likeliest.
        spreads: factors of all prior standard deviations: the likeliest.
        tuned_from: measurements before these two are chosen for the first time.
        tuned_growth: they are chosen again when there are so many times more measurements.
        tuned_on: newest measurements that choose them.
        most_measurements: beyond so many the slowest of the older ones are left out.
        least_factor: of the engine's latency that a drawn machine may have.
    """

    evaluations: int = 400
    temperatures: tuple[float, ...] = (0.0, 0.3, 1.0, 0.3, 0.0, 0.3, 1.0, 0.3)
    plan_temperatures: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-3, 1e-3, 1e-4, 1e-2, 1e-3)
    plan_evaluations: int = 3000
    later_from: int = 300
    later_plan_evaluations: int = 500
    model_temperatures: tuple[float, ...] = (1e-3, 1e-2, 1e-4)
    model_evaluations: int = 30_000
    cold_share: float = 1e-6
    retries: int = 4
    retry_temperature: float = 0.3
    kicked: int = 3
    scale_spread: float = 0.3
    common_spread: float = 0.3
    own_spread: float = 0.3
    least_spread: float = 1e-5
    noise_shares: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2)
    spreads: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    tuned_from: int = 8
    tuned_growth: float = 1.25
    tuned_on: int = 300
    most_measurements: int = 800
    least_factor: float = 0.1

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            InputError: a value is outside its range.
        """
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            for one in value if isinstance(value, tuple) else (value,):
                if not low <= one <= high:
                    limits = f"between {low} and {high}" if high < math.inf else f"at least {low}"
                    raise InputError(f"{name}: expected {limits}, got {one}")
            if isinstance(value, tuple) and not 1 <= len(value) <= MOST_VALUES:
                raise InputError(f"{name}: expected 1 to {MOST_VALUES} values, got {len(value)}")
        if len(self.temperatures) != len(self.plan_temperatures):
            raise InputError(
                f"plan_temperatures: expected {len(self.temperatures)} values as in temperatures, "
                f"got {len(self.plan_temperatures)}"
            )


MOST_VALUES = 1000

_COUNT = 1, 10**9
_SHARE = 1e-12, 1.0
_WIDTH = 1e-9, 1e3
_RANGES: dict[str, tuple[float, float]] = {
    "evaluations": _COUNT,
    "temperatures": (0.0, 1e3),
    "plan_temperatures": _SHARE,
    "plan_evaluations": _COUNT,
    "later_from": _COUNT,
    "later_plan_evaluations": _COUNT,
    "model_temperatures": _SHARE,
    "model_evaluations": _COUNT,
    "cold_share": _SHARE,
    "retries": (1, 1000),
    "retry_temperature": (0.0, 1e3),
    "kicked": _COUNT,
    "scale_spread": _WIDTH,
    "common_spread": _WIDTH,
    "own_spread": _WIDTH,
    "least_spread": _WIDTH,
    # With less, covariances of placements that are nearly the same could not be inverted.
    "noise_shares": (1e-7, 1.0),
    "spreads": _WIDTH,
    "tuned_from": _COUNT,
    "tuned_growth": (1.0, 1e3),
    "tuned_on": _COUNT,
    "most_measurements": (2, 10**6),
    "least_factor": (1e-6, 1.0),
}

DEFAULT = EgrlConfig()


def load_config(path: Path) -> EgrlConfig:
    """Read a file of hyper-parameters; what it leaves out keeps its default.

    Raises:
        InputError: it cannot be read, has an unknown key, or a value is wrong.
    """
    return load_table(path, EgrlConfig)
