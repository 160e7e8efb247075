"""What keeping outliers buys, at equal bits: `python -m egrl.bench.int4.outliers`.

Weights of the development set, quantized by `easyquant` on several grids, with and without the
entries that are kept exactly, whole input channels of 8 bits, a second product over a few channels,
or a low-rank term. Prints bits a weight and relative squared error of the weight, which is that of
the output on independent inputs of unit variance.

Axes: K inner, N columns, G groups.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egrl.bench.model_index import models_folder, read_index
from egrl.compression.inputs import draw_inputs
from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.compression.grid import F32, Grid, grouped
from graph_ir.compression.method import Data
from graph_ir.compression.methods.easyquant import EasyQuant
from graph_ir.compression.rotate import Rotate
from graph_ir.compression.sites import find_sites
from graph_ir.load import load_model
from graph_ir.passes.pipeline import run_lossless

INDEX_BITS = VALUE_BITS = 16
_LAYERS = 6
_LARGEST = 1 << 22
_FACTOR_BITS = 8

Bools = NDArray[np.bool_]
Form = Callable[[F32], tuple[F32, int]]
"""A weight to what a runtime multiplies with, and its stored bits."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Some weights of a model, evenly spaced over its depth."""

    name: str
    weights: tuple[F32, ...]


def plain(grid: Grid) -> Form:
    """Nothing but the grid."""

    def form(weight_KN: F32) -> tuple[F32, int]:
        quantized = EasyQuant().quantize(weight_KN, grid)
        return quantized.dequantized(), quantized.stored_bits

    return form


def with_entries(grid: Grid, chosen: Callable[[F32, Grid], Bools]) -> Form:
    """Some entries exact, as a list of index and value."""

    def form(weight_KN: F32) -> tuple[F32, int]:
        kept_KN = chosen(weight_KN, grid)
        rest = EasyQuant().quantize(np.where(kept_KN, np.float32(0), weight_KN), grid)
        bits = rest.stored_bits + int(kept_KN.sum()) * (INDEX_BITS + VALUE_BITS)
        exact_KN = weight_KN.astype(np.float16).astype(np.float32)
        return np.where(kept_KN, exact_KN, rest.dequantized()), bits

    return form


def sigmas(count: float) -> Callable[[F32, Grid], Bools]:
    """Entries further than so many standard deviations from the mean: the paper's."""

    def chosen(weight_KN: F32, grid: Grid) -> Bools:
        far_KN: Bools = np.abs(weight_KN - weight_KN.mean()) >= count * weight_KN.std()
        return far_KN

    return chosen


def farthest(share: float) -> Callable[[F32, Grid], Bools]:
    """A share of the entries: those that widen the range of their own group most."""

    def chosen(weight_KN: F32, grid: Grid) -> Bools:
        groups_GSN = grouped(weight_KN, grid.group)
        typical_G1N = np.sqrt(np.square(groups_GSN).mean(axis=1, keepdims=True))
        beyond_KN = (np.abs(groups_GSN) - 2 * typical_G1N).reshape(-1, weight_KN.shape[1])
        beyond_KN = beyond_KN[: len(weight_KN)]
        bound = np.partition(beyond_KN.ravel(), -max(int(share * weight_KN.size), 1))
        return np.asarray(beyond_KN >= bound[-max(int(share * weight_KN.size), 1)])

    return chosen


def with_channels(grid: Grid, count: int) -> Form:
    """The input channels with the largest entries at 8 bits, in a product of their own."""

    def form(weight_KN: F32) -> tuple[F32, int]:
        order_K = np.argsort(-np.abs(weight_KN).max(axis=1), kind="stable")
        wide_K, narrow_K = np.sort(order_K[:count]), np.sort(order_K[count:])
        made_KN, bits = np.empty_like(weight_KN), 0
        for rows_K, each in ((wide_K, Grid(8)), (narrow_K, grid)):
            quantized = EasyQuant().quantize(np.ascontiguousarray(weight_KN[rows_K]), each)
            made_KN[rows_K] = quantized.dequantized()
            bits += quantized.stored_bits
        return made_KN, bits

    return form


def with_low_rank(grid: Grid, rank: int) -> Form:
    """The error's first singular directions on top, factors of 8 bits (counted, not rounded)."""

    def form(weight_KN: F32) -> tuple[F32, int]:
        quantized = EasyQuant().quantize(weight_KN, grid)
        rough_KN = quantized.dequantized()
        left_KR, value_R, right_RN = np.linalg.svd(weight_KN - rough_KN, full_matrices=False)
        term_KN = (left_KR[:, :rank] * value_R[:rank]) @ right_RN[:rank]
        bits = quantized.stored_bits + rank * sum(weight_KN.shape) * _FACTOR_BITS
        return rough_KN + term_KN.astype(np.float32), bits

    return form


def forms() -> dict[str, Form]:
    """Every form by the name in the table, in order of bits."""
    zeros = {group: Grid(group=group, symmetric=False) for group in (32, 64)}
    return {
        "groups of 128": plain(Grid(group=128)),
        "groups of 64": plain(Grid(group=64)),
        "groups of 64, zero points": plain(zeros[64]),
        "groups of 256, 3 sigma entries": with_entries(Grid(group=256), sigmas(3)),
        "groups of 128, 3 sigma entries": with_entries(Grid(group=128), sigmas(3)),
        "groups of 64, 0.3 % entries": with_entries(Grid(group=64), farthest(0.003)),
        "groups of 64, 3 sigma entries": with_entries(Grid(group=64), sigmas(3)),
        "groups of 64, zero points, 32 channels of 8 bits": with_channels(zeros[64], 32),
        "groups of 64, zero points, rank 8": with_low_rank(zeros[64], 8),
        "groups of 32": plain(Grid()),
        "groups of 32, 0.3 % entries": with_entries(Grid(), farthest(0.003)),
        "groups of 32, zero points": plain(zeros[32]),
        "groups of 32, 3 sigma entries": with_entries(Grid(), sigmas(3)),
        "groups of 16": plain(Grid(group=16)),
    }


def measure(form: Form, weights: Sequence[F32]) -> tuple[float, float]:
    """Bits a weight, and relative squared error, over all weights together."""
    bits = elements = 0
    error = square = 0.0
    for weight_KN in weights:
        made_KN, stored = form(weight_KN)
        bits += stored
        elements += weight_KN.size
        error += float(np.square(made_KN - weight_KN, dtype=np.float64).sum())
        square += float(np.square(weight_KN, dtype=np.float64).sum())
    return bits / elements, error / square


def read_weights(name: str, rotated: bool = False) -> Weights:
    """Evenly spaced weights of a model of the development set."""
    folder = models_folder()
    entry = read_index(folder, [name])[name]
    model = load_model(folder / entry.file, entry.dims)
    run_lossless(model.graph_model)
    graph = model.graph_model
    if rotated:
        samples = draw_inputs(graph.graph, 0, 1).samples
        Rotate().prepare(graph, Data(samples, OnnxRuntimeRunner(), 0, False))
    sites = [s for s in find_sites(graph.graph).found if s.inner * s.columns <= _LARGEST]
    picked = sites[:: max(len(sites) // _LAYERS, 1)][:_LAYERS]
    weights = tuple(np.ascontiguousarray(site.weight_KN()) for site in picked)
    return Weights(f"{name}, rotated" if rotated else name, weights)


def table(found: Sequence[Weights]) -> str:
    """Markdown: a row a form, bits and error a model."""
    head = "| form | " + " | ".join(f"{w.name}: bits | error" for w in found) + " |"
    lines = [head, "|---|" + "---:|---:|" * len(found)]
    for name, form in forms().items():
        cells = [
            f"{bits:.3f} | {1000 * error:.2f}e-3"
            for bits, error in (measure(form, each.weights) for each in found)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=["minilm", "smollm2-prefill"])
    names: list[str] = parser.parse_args().models
    found = [read_weights(name) for name in names]
    found += [read_weights(name, rotated=True) for name in names if name.startswith("smollm2")]
    print(table(found))


if __name__ == "__main__":
    main()
