"""How much of the outputs' error each weight is to blame for, measured; and bits given by it.

One run of the model for each weight, at the coarsest grid, gives the error that the weight alone
causes at the outputs. At finer grids that error is scaled by the error of the layer's own output,
which needs no run: through a network that is smooth at this scale the two are proportional.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import onnx_ir as ir

from egrl.compression.joint.sensitivity import single_errors
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Data
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import Site
from graph_ir.compression.stages import by_input, run_in_stages
from graph_ir.compression.statistics import input_statistics, output_square
from graph_ir.errors import InputError, UnmetRequirementError

# Samples that are run for every weight; layer errors see all of them.
_RUN_SAMPLES = 1

Sensitivities = dict[tuple[str, Grid], float]


@dataclass(frozen=True, slots=True)
class Mixed:
    """Bits of each weight by measured sensitivity.

    Attributes:
        average_bits: stored bits per element that all weights together may take, scales and zero
            points included; 0 gives every weight the same grid.
    """

    average_bits: float = 0.0

    def __post_init__(self) -> None:
        """Check the range."""
        if self.average_bits != 0 and not 1 <= self.average_bits <= 16:
            raise InputError(
                f"average-bits={self.average_bits:g}: expected 0 (off) or a number from 1 to 16"
            )


def candidate_grids(grid: Grid) -> tuple[Grid, ...]:
    """The grid asked for, coarser groups, and 8 bits, those that run fast; coarsest first."""
    coarser = [group for group in (128, 64, 32) if group >= grid.group]
    found = [Grid(grid.bits, group, grid.symmetric) for group in coarser]
    if grid not in found:
        found.append(grid)
    if grid.bits < 8:
        found += [Grid(8, group, grid.symmetric) for group in (128, 32)]
    return tuple(found)


def measure_sensitivities(
    model: ir.Model, sites: Sequence[Site], grids: Sequence[Grid], data: Data
) -> Sensitivities:
    """Squared relative error of the outputs, by the weight that alone is quantized and its grid.

    Weights are rounded to nearest. Better methods cause less error, in about the same
    proportions.

    Args:
        model: it is not changed.
        sites: of the model.
        grids: the first one is run, the others are scaled from it.
        data: inputs to measure on.
    """
    rough = grids[0]
    samples = data.samples[:_RUN_SAMPLES]
    whole = single_errors(model, [rough], Rtn().quantize, samples, data.runner)
    groups = by_input(sites)
    stages = run_in_stages(model, [g.value for g in groups], data.samples, data.runner)
    found: Sensitivities = {}
    for group, arrays in zip(groups, stages, strict=True):
        inputs = input_statistics(arrays)
        for site in group.sites:
            weight_KN = site.weight_KN()
            layer = {
                grid: output_square(
                    inputs, weight_KN - Rtn().quantize(weight_KN, grid).dequantized()
                )
                for grid in grids
            }
            for grid in grids:
                share = layer[grid] / layer[rough] if layer[rough] > 0 else 1.0
                found[site.name, grid] = whole[site.name, rough] * share
    return found


def grids_within(
    sites: Sequence[Site],
    grids: Sequence[Grid],
    sensitivities: Mapping[tuple[str, Grid], float],
    average_bits: float,
) -> dict[str, Grid]:
    """A grid for each weight: the smallest sum of errors within an average of stored bits.

    From the smallest grid on, the step with the largest fall of error per bit that still fits is
    taken, until none does: optimal but for the last steps, since every weight's steps are taken
    along the lower hull of its errors over its bits.

    Raises:
        UnmetRequirementError: the smallest grids are already larger.
    """
    room = average_bits * sum(site.inner * site.columns for site in sites)
    bits = {
        (site.name, grid): grid.stored_bits(site.inner, site.columns)
        for site in sites
        for grid in grids
    }
    hulls = {site.name: _hull(site.name, grids, bits, sensitivities) for site in sites}
    chosen = {name: hull[0] for name, hull in hulls.items()}
    room -= sum(bits[name, grid] for name, grid in chosen.items())
    if room < 0:
        least = average_bits - room / sum(site.inner * site.columns for site in sites)
        raise UnmetRequirementError(
            f"average-bits={average_bits:g}: the weights need at least {least:.4g} bits each", ()
        )
    steps = [
        (
            (sensitivities[name, a] - sensitivities[name, b]) / (bits[name, b] - bits[name, a]),
            name,
            at,
        )
        for name, hull in hulls.items()
        for at, (a, b) in enumerate(pairwise(hull))
    ]
    for _, name, at in sorted(steps, key=lambda step: (-step[0], step[1], step[2])):
        hull = hulls[name]
        more = bits[name, hull[at + 1]] - bits[name, hull[at]]
        # A step that did not fit leaves those after it, of the same weight, without ground.
        if chosen[name] == hull[at] and more <= room:
            chosen[name] = hull[at + 1]
            room -= more
    return chosen


def _hull(
    name: str,
    grids: Sequence[Grid],
    bits: Mapping[tuple[str, Grid], int],
    sensitivities: Mapping[tuple[str, Grid], float],
) -> list[Grid]:
    """Grids on the lower hull of a weight's errors over its bits, smallest first."""
    ordered = sorted(grids, key=lambda grid: (bits[name, grid], sensitivities[name, grid]))
    hull: list[Grid] = []
    for grid in ordered:
        if hull and (
            bits[name, grid] == bits[name, hull[-1]]
            or sensitivities[name, grid] >= sensitivities[name, hull[-1]]
        ):
            continue
        while len(hull) > 1 and _slope(name, hull[-1], grid, bits, sensitivities) > _slope(
            name, hull[-2], hull[-1], bits, sensitivities
        ):
            hull.pop()
        hull.append(grid)
    return hull


def _slope(
    name: str,
    a: Grid,
    b: Grid,
    bits: Mapping[tuple[str, Grid], int],
    sensitivities: Mapping[tuple[str, Grid], float],
) -> float:
    """Fall of error per bit."""
    fall = sensitivities[name, a] - sensitivities[name, b]
    return fall / (bits[name, b] - bits[name, a])
