"""Matrix units that an accelerator file can describe, one type per dataflow.

`accelerator_sim/cost/mac_array/` says how many cycles each takes.
"""

import msgspec

from accelerator_sim.quantity import Quantity


class _Array(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="dataflow"
):
    """What all matrix units of one core have.

    Attributes:
        rows: of the grid (output pixels), or of the systolic array.
        columns: of the grid (output channels), or of the systolic array.
        full_rate_type: execution type at which `macs_per_cycle` are done.
        relative_rate: multiply-accumulates a cycle relative to the full rate, for each
            `activation*weight` type pair. A pair that is missing cannot be executed.
        family_rate: speed relative to the computed cycles for `conv`, `depthwise`, `matmul` and
            `attention`; 1 where one is not named. For devices that are measured, not documented.
        source: of the numbers that have none of their own.
    """

    rows: int
    columns: int
    full_rate_type: str
    relative_rate: dict[str, Quantity]
    family_rate: dict[str, Quantity] = {}
    source: str

    @property
    def macs_per_cycle(self) -> int:
        """At the full rate."""
        return self.rows * self.columns


class DotGrid(_Array, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="dot-grid"):
    """Rows x columns outputs, each reducing `depth` products a cycle at the full rate."""

    depth: int

    @property
    def macs_per_cycle(self) -> int:
        """At the full rate."""
        return self.rows * self.columns * self.depth


class WeightStationary(
    _Array, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="weight-stationary"
):
    """Systolic array of rows (reduction) x columns (output channels) that holds weights.

    Attributes:
        weight_double_buffer: loading the next weights overlaps with computing.
    """

    weight_double_buffer: bool


class OutputStationary(
    _Array, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="output-stationary"
):
    """Systolic array of rows (output pixels) x columns (output channels) that holds sums."""


class InputStationary(
    _Array, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="input-stationary"
):
    """Systolic array of rows (reduction) x columns (output pixels) that holds inputs."""


MacArray = DotGrid | WeightStationary | OutputStationary | InputStationary
