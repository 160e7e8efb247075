"""GPTQ (arXiv 2210.17323) for convolutions: error feedback over the statistics of their patches.

A convolution is a product of patches with its weight, group by group of channels. Integers are
chosen tap by tap, and what a tap's rounding leaves over goes into the taps that follow, through
the Hessian of the patches. An output channel has one scale, chosen before: the one with the least
error of rounding, entries weighted by what GPTQ adds when it comes to them.

Inputs are the float model's: what earlier layers lose, their bias correction makes up for on
average. Axes: E entries of a kernel, N output channels of a group, C all output channels.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.convolution import ConvolutionSite
from graph_ir.compression.grid import F32
from graph_ir.compression.method import Data
from graph_ir.compression.methods.gptq import chosen_damping, damped, inverse_factor
from graph_ir.compression.patches import kernel_of, patches
from graph_ir.compression.qdq_weights import ChannelWeight
from graph_ir.onnx_values import shape_of, value_name
from graph_ir.passes.rewiring import constant_array

POSITIONS = 256
"""Of a sample whose patches are looked at."""

# Statistics that are gathered in one run of the model.
_GRAM_BYTES = 256 << 20
_SHARES = tuple(float(share) for share in np.linspace(1.0, 0.4, 31))

Grams = NDArray[np.float64]


def round_convolutions(
    model: ir.Model, sites: Sequence[ConvolutionSite], bits: int, data: Data
) -> dict[str, ChannelWeight]:
    """The weights of convolutions as integers, by name of the site.

    Args:
        model: in floats; it is not changed.
        sites: of the model.
        bits: of an integer.
        data: samples and an engine.
    """
    found: dict[str, ChannelWeight] = {}
    batch: list[ConvolutionSite] = []
    room = _GRAM_BYTES
    for site in sites:
        groups = kernel_of(site.node, shape_of(site.weight)).groups
        entries = int(np.prod(shape_of(site.weight)[1:]))
        taken = 8 * groups * entries * entries
        if batch and taken > room:
            found |= _rounded(model, batch, bits, data)
            batch, room = [], _GRAM_BYTES
        batch.append(site)
        room -= taken
    return found | (_rounded(model, batch, bits, data) if batch else {})


def _rounded(
    model: ir.Model, sites: Sequence[ConvolutionSite], bits: int, data: Data
) -> dict[str, ChannelWeight]:
    names = {site.name: _input_name(site) for site in sites}
    kernels = {site.name: kernel_of(site.node, shape_of(site.weight)) for site in sites}
    execute = data.runner.open(model, list(dict.fromkeys(names.values())))
    grams: dict[str, Grams] = {}
    rows: dict[str, int] = {}
    for sample in data.samples:
        values = execute(sample)
        for site in sites:
            array = values[names[site.name]].astype(np.float32)
            rows_gRE = patches(array, kernels[site.name], POSITIONS)
            gram = np.matmul(rows_gRE.transpose(0, 2, 1), rows_gRE).astype(np.float64)
            grams[site.name] = grams[site.name] + gram if site.name in grams else gram
            rows[site.name] = rows.get(site.name, 0) + rows_gRE.shape[1]
    found: dict[str, ChannelWeight] = {}
    for site in sites:
        weight = constant_array(site.weight)
        assert weight is not None
        count = max(rows[site.name], 1)
        found[site.name] = round_patches(
            weight.astype(np.float32), bits, grams.pop(site.name) / count, count
        )
    return found


def round_patches(weight: F32, bits: int, gram_gEE: Grams, rows: int) -> ChannelWeight:
    """A weight as integers.

    Args:
        weight: `[C, channels of a group, taps...]`.
        bits: of an integer.
        gram_gEE: of the patches of each group, mean over rows.
        rows: how many there were.
    """
    groups, entries = gram_gEE.shape[:2]
    columns_gNE = weight.reshape(groups, -1, entries)
    levels = np.empty(columns_gNE.shape, np.int8)
    scale = np.empty(columns_gNE.shape[:2], np.float32)
    damping = chosen_damping(entries, rows)
    for g in range(groups):
        hessian_EE = damped(gram_gEE[g], damping)
        if not gram_gEE[g].any():
            hessian_EE = np.eye(entries)
        order_E = np.argsort(-np.diag(hessian_EE), kind="stable")
        upper_EE = inverse_factor(hessian_EE[np.ix_(order_E, order_E)])
        weight_EN = np.ascontiguousarray(columns_gNE[g].T[order_E])
        scale[g] = _searched_scale(weight_EN, 1 / np.square(np.diag(upper_EE)), bits)
        levels[g][:, order_E] = _feedback(weight_EN, scale[g], upper_EE, bits).T
    return ChannelWeight(bits, 0, levels.reshape(weight.shape), scale.reshape(-1))


def _searched_scale(weight_EN: F32, importance_E: NDArray[np.float64], bits: int) -> F32:
    highest = (1 << (bits - 1)) - 1
    extreme_N = np.abs(weight_EN).max(axis=0, initial=0.0)
    extreme_N = np.where(extreme_N > np.finfo(np.float32).tiny * highest, extreme_N, highest)
    best_N = (extreme_N / highest).astype(np.float32)
    least_N = np.full(best_N.shape, np.inf)
    for share in _SHARES:
        scale_N = (extreme_N * share / highest).astype(np.float32)
        steps_EN = np.clip(np.rint(weight_EN / scale_N), -highest, highest)
        error_N = importance_E @ np.square(steps_EN * scale_N - weight_EN, dtype=np.float64)
        best_N = np.where(error_N < least_N, scale_N, best_N)
        least_N = np.minimum(error_N, least_N)
    return best_N


def _feedback(
    weight_EN: F32, scale_N: F32, upper_EE: NDArray[np.float64], bits: int
) -> NDArray[np.int8]:
    """Integers of rows in their order; see `methods.gptq.feedback`."""
    highest = (1 << (bits - 1)) - 1
    rest_EN = weight_EN.astype(np.float64)
    levels_EN = np.empty(weight_EN.shape, np.int8)
    for row in range(len(rest_EN)):
        level_N = np.clip(np.rint(rest_EN[row] / scale_N), -highest, highest)
        levels_EN[row] = level_N
        error_N = (rest_EN[row] - level_N * scale_N) / upper_EE[row, row]
        rest_EN[row + 1 :] -= upper_EE[row, row + 1 :, None] * error_N
    return levels_EN


def _input_name(site: ConvolutionSite) -> str:
    source = site.node.inputs[0]
    assert source is not None
    return value_name(source)
