"""The next token from logits: the likeliest one, or drawn with temperature and nucleus.

The draw for a position depends on the seed and the position alone, so that a sequence that was
saved and resumed, or that runs beside others, goes on as if nothing had happened.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_ir.errors import InputError

MAX_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen.

    Attributes:
        temperature: logits are divided by it; 0 takes the likeliest token.
        top_p: a token is drawn from the likeliest ones that together have this probability
            (nucleus sampling, Holtzman et al. 2020).
        seed: of the draws.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            InputError: a value outside of its range.
        """
        if not 0.0 <= self.temperature < math.inf:
            raise InputError(f"temperature: expected 0 or more, got {self.temperature:g}")
        if not 0.0 < self.top_p <= 1.0:
            raise InputError(f"top-p: expected above 0 and at most 1, got {self.top_p:g}")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"seed: expected 0 to {MAX_SEED}, got {self.seed}")


GREEDY = Sampling()


def choose(logits_V: NDArray[np.floating], sampling: Sampling, position: int) -> int:
    """The token for a position.

    Args:
        logits_V: of all tokens.
        sampling: how.
        position: of the token in its sequence.

    Returns:
        Its index; of equally likely ones the lowest.

    Raises:
        InputError: a logit is NaN, or all are minus infinity.
    """
    wide_V = logits_V.astype(np.float64)
    largest = float(wide_V.max())
    if not math.isfinite(largest):  # NaN, too: `max` hands it on
        raise InputError(f"logits at position {position}: expected finite values, got {largest}")
    if sampling.temperature == 0.0:
        return int(wide_V.argmax())
    rng = np.random.default_rng([sampling.seed, position])
    with np.errstate(over="ignore"):  # minus infinity is a probability of 0
        weights_V = np.exp((wide_V - largest) / sampling.temperature)
    order_V = np.argsort(-weights_V, kind="stable")
    cumulative_V = np.cumsum(weights_V[order_V])
    total = float(cumulative_V[-1])
    # As few as reach the share: the token that crosses it is one of them.
    kept = int(np.searchsorted(cumulative_V, sampling.top_p * total)) + 1
    kept = min(kept, int(np.count_nonzero(weights_V)))
    drawn = rng.random() * float(cumulative_V[kept - 1])
    at = int(np.searchsorted(cumulative_V[:kept], drawn, side="right"))
    return int(order_V[min(at, kept - 1)])
