"""What the comparison with one tool yields."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """One row of a reference.

    Attributes:
        name: of the row, for people.
        reference: what the tool says.
        predicted: what the simulator says, in the same unit.
    """

    name: str
    reference: float
    predicted: float


@dataclass(frozen=True, slots=True)
class Check:
    """A goal and how far it is met.

    Attributes:
        text: what was compared, on how many rows.
        goal: in words.
        measured: in words.
        met: whether it holds; a check that is reported without a goal is always met.
    """

    text: str
    goal: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong into one scatter plot.

    Attributes:
        title: of the plot.
        unit: of both axes.
        points: rows, in the order of the file.
    """

    title: str
    unit: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The comparison with one tool.

    Attributes:
        tool: name and version.
        about: what is compared with what, in one paragraph.
        checks: goals.
        series: for the plots, and for mean and worst error and rank correlation.
        notes: what differs and why, one sentence each.
    """

    tool: str
    about: str
    checks: tuple[Check, ...]
    series: tuple[Series, ...]
    notes: tuple[str, ...]
