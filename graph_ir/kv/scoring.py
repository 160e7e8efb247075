"""By what positions of a prompt are chosen: what the prompt's graph has to observe for it."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.errors import InputError
from graph_ir.kv.writing import Writer

OBSERVED = 32
"""Queries of SnapKV's observation window, as published."""
SINKS = 4
"""First positions that expected attention always keeps and takes no queries of, as published."""
FLOAT, DOUBLE = ir.DataType.FLOAT, ir.DataType.DOUBLE


@dataclass(frozen=True, slots=True)
class Rotation:
    """How queries of an attention are rotated by their position.

    Attributes:
        width: of a query.
        pairs: first and second channel of each plane, and by how many radians a position turns it
            from the first towards the second; no plane twice.
    """

    width: int
    pairs: tuple[tuple[int, int, float], ...] = ()

    def __post_init__(self) -> None:
        """Checks that every channel is in one plane at most.

        Raises:
            InputError: it is not, or there is no such channel.
        """
        channels = sorted(channel for pair in self.pairs for channel in pair[:2])
        if channels != sorted(set(channels) & set(range(self.width))):
            raise InputError(f"rotation of {self.width} channels: expected planes of two each")


@dataclass(frozen=True, slots=True)
class Observed:
    """What the last `OBSERVED` queries of the prompt attend to (SnapKV)."""

    @property
    def always(self) -> int:
        """Positions that are kept whatever they score."""
        return OBSERVED


@dataclass(frozen=True, slots=True)
class Expected:
    """What queries to come are expected to attend to (expected attention).

    Attributes:
        rotations: of each attention's queries.
        epsilon: added to the expected weight before it is multiplied with the value's norm.
    """

    rotations: tuple[Rotation, ...]
    epsilon: float = 0.0

    @property
    def always(self) -> int:
        """Positions that are kept whatever they score."""
        return SINKS


Scoring = Observed | Expected
OBSERVATION = Observed()


@dataclass(frozen=True, slots=True)
class Turn:
    """A rotation as a graph applies it: `x * cos + partners(x) * sin`.

    Attributes:
        cos: of the angle of every channel.
        sin: likewise, with the sign that the channel's partner has.
        partners: the other channel of every channel's plane.
    """

    cos: ir.Value
    sin: ir.Value
    partners: ir.Value

    def of(self, writer: Writer, rows: ir.Value) -> ir.Value:
        """Rows [..., 4th axis of channels], turned."""
        others = writer.gather(rows, self.partners, 3)
        return writer.op(
            "Add", writer.op("Mul", rows, self.cos), writer.op("Mul", others, self.sin)
        )


def turn(
    writer: Writer, rotation: Rotation, position_N1: ir.Value, *, back: bool, mean: bool = False
) -> Turn | None:
    """Writes the rotation to positions, or back from them; None where nothing is rotated.

    Args:
        writer: where nodes go.
        rotation: of the channels.
        position_N1: int64.
        back: whether rows are turned back to position 0.
        mean: whether the mean of all rotations is wanted, which is no rotation itself.
    """
    if not rotation.pairs:
        return None
    angle_W: NDArray[np.float64] = np.zeros(rotation.width)
    sign_W: NDArray[np.float64] = np.zeros(rotation.width)
    partner_W = np.arange(rotation.width)
    for first, second, radians in rotation.pairs:
        angle_W[[first, second]] = radians
        sign_W[[first, second]] = (1.0, -1.0) if back else (-1.0, 1.0)
        partner_W[[first, second]] = second, first
    angles_NW = writer.op("Mul", writer.cast(position_N1, DOUBLE), writer.constant(angle_W))
    cos, sin = (writer.op(kind, angles_NW) for kind in ("Cos", "Sin"))
    if mean:
        cos, sin = (writer.reduce("ReduceMean", value, 0) for value in (cos, sin))
    sin = writer.op("Mul", sin, writer.constant(sign_W))
    return Turn(writer.cast(cos, FLOAT), writer.cast(sin, FLOAT), writer.constant(partner_W))
