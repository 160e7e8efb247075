"""Seeded orthogonal matrices, float64, the same bytes on any number of cores."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from graph_ir.errors import InputError

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """`x @ Q` for `Q = diag(signs) (I kron rest) swap (I kron hadamard) (I - 2 v v^T / v^T v)`.

    Axes: D width = M rest x P power of two; `swap` brings P x M channels in the order M x P.

    Attributes:
        signs_D: 1 and -1.
        rest_MM: orthogonal.
        hadamard_PP: orthogonal.
        reflected_D: v; None for no reflection.
    """

    signs_D: F64
    rest_MM: F64
    hadamard_PP: F64
    reflected_D: F64 | None = None

    @property
    def width(self) -> int:
        """D."""
        return len(self.signs_D)

    def apply(self, rows_RD: F64) -> F64:
        """Every row times Q."""
        # Two large products of small matrices, with a transposition in between.
        rest, power = len(self.rest_MM), len(self.hadamard_PP)
        turned_RPM = (rows_RD * self.signs_D).reshape(-1, rest) @ self.rest_MM
        swapped_RMP = turned_RPM.reshape(-1, power, rest).swapaxes(1, 2).reshape(-1, power)
        turned_RD: F64 = (swapped_RMP @ self.hadamard_PP).reshape(rows_RD.shape)
        if self.reflected_D is None:
            return turned_RD
        along_R = turned_RD @ self.reflected_D / (self.reflected_D @ self.reflected_D)
        return np.asarray(turned_RD - 2 * np.outer(along_R, self.reflected_D), np.float64)


def make_rotation(width: int, seed: int, kind: str, *, keeps_ones: bool = False) -> Rotation:
    """A random rotation (or reflection) of rows of D channels.

    Args:
        width: D.
        seed: of what is drawn.
        kind: a key of `ROTATIONS`.
        keeps_ones: it maps the vector of ones onto itself, so that a row's mean stays.

    Raises:
        InputError: an unknown kind.
    """
    if kind not in ROTATIONS:
        raise InputError(f"rotation={kind}: unknown; expected one of {', '.join(ROTATIONS)}")
    # How a library splits its sums among threads would change the last bit.
    with threadpool_limits(1, user_api="blas"):
        rotation = ROTATIONS[kind](width, np.random.default_rng(seed))
        return _keeping_ones(rotation) if keeps_ones else rotation


def _orthogonal(width: int, rng: np.random.Generator) -> Rotation:
    return Rotation(np.ones(width), _any_orthogonal(width, rng), np.ones((1, 1)))


def _any_orthogonal(width: int, rng: np.random.Generator) -> F64:
    """Uniform over all orthogonal matrices: QR of a normal one, with the signs of R taken out."""
    q_DD, r_DD = np.linalg.qr(rng.standard_normal((width, width)))
    return np.asarray(q_DD * np.where(np.diag(r_DD) < 0, -1.0, 1.0), np.float64)


def _hadamard(width: int, rng: np.random.Generator) -> Rotation:
    """A Hadamard matrix of the largest power of two that divides D; the odd rest is orthogonal."""
    signs_D: F64 = rng.choice(np.array([-1.0, 1.0]), width)
    power = width & -width
    hadamard: F64 = np.ones((1, 1))
    while len(hadamard) < power:
        hadamard = np.kron(hadamard, np.array([[1.0, 1.0], [1.0, -1.0]]))
    rest_MM = _any_orthogonal(width // power, rng)
    hadamard_PP: F64 = hadamard * float(power) ** -0.5
    return Rotation(signs_D, rest_MM, hadamard_PP)


def _keeping_ones(rotation: Rotation) -> Rotation:
    """The same, then a reflection that brings the image of the ones back to the ones."""
    ones_1D = np.ones((1, rotation.width))
    away_D = (rotation.apply(ones_1D) - ones_1D)[0]
    if away_D @ away_D < 1e-20 * rotation.width:
        return rotation
    return replace(rotation, reflected_D=away_D)


ROTATIONS: dict[str, Callable[[int, np.random.Generator], Rotation]] = {
    "hadamard": _hadamard,
    "orthogonal": _orthogonal,
}
