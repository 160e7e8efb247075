"""What a compressed model is worth: metrics by name, some with intervals."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000
SEED = 0

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scores:
    """A model on its task.

    Attributes:
        metrics: by name.
        intervals: 95 %, of those that have one.
        data: digest of what it was judged on.
        samples: values by item, where two methods are compared by item.
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    data: str = ""
    samples: dict[str, list[float]] = field(default_factory=dict)


def paired_interval(right: Bools, right_reference: Bools) -> tuple[float, float]:
    """95 % bootstrap interval of a difference of accuracies on the same items.

    Args:
        right: which items the model gets right.
        right_reference: which the uncompressed one gets right.
    """
    return mean_interval(right.astype(np.float64) - right_reference)


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % bootstrap interval of a mean."""
    rng = np.random.default_rng(SEED)
    picks = rng.integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def accuracy_scores(right: Bools, right_reference: Bools, same: Bools) -> Scores:
    """Accuracy, its change against the uncompressed model, agreement of the answers."""
    return Scores(
        {
            "accuracy": float(right.mean()),
            "change": float(right.mean() - right_reference.mean()),
            "agreement": float(same.mean()),
        },
        {"change": paired_interval(right, right_reference)},
    )


def kept(path: Path, make: Callable[[], NDArray[np.generic]]) -> NDArray[np.generic]:
    """An array that is made once and kept in a file."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}")
        with partial.open("wb") as stream:
            np.save(stream, make())
        partial.replace(path)
    array: NDArray[np.generic] = np.load(path)
    return array
