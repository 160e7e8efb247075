"""Vela 5.2.0: operations and networks on the Ethos-U55, U65 and U85.

Every operation goes through lowering and the engine on a reference machine that has the numbers of
Vela's own configuration files. What the compiler decides and its rows do not say is stated:

- rows with 0 cycles (fused activations, operations of a chain) are part of the operation before;
- rows without shapes (an expanded softmax) and kinds of operations that no rule describes are left
  out on both sides, and counted;
- weights have the encoded size of the summary, the same share for all layers of a network;
- where a feature map may be in DRAM or in its cache, the row's DRAM cycles decide;
- a single layer that was cut into several operations is left out.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from egrl.validation.mobilenet_v2 import mobilenet_v2
from egrl.validation.result import Check, Point, Series, ToolResult
from egrl.validation.rows import read_rows
from egrl.validation.statistics import relative_error, spearman
from egrl.validation.vela_chain import Prediction, bound_of, predict
from egrl.validation.vela_rows import (
    PER_LAYER_FILE,
    SINGLE_FILE,
    SUMMARY_FILE,
    Network,
    Reference,
    Setting,
    read_networks,
    read_single,
)

ANCHORS_FILE = "anchors.csv"
ANCHOR = "fvp_u55_128_mv2"
ANCHOR_COLUMNS = ("id", "value")
FILES = (PER_LAYER_FILE, SUMMARY_FILE, SINGLE_FILE, ANCHORS_FILE)

FAMILIES = ("u55", "u65", "u85")
TIE = 0.05
"""A row is bound by both where the unit's and the slowest memory's cycles differ by less."""

Pair = tuple[Reference, Prediction]


def validate(folder: Path) -> ToolResult:
    """Compare with all rows of the per-layer, the summary and the single-layer file.

    Raises:
        InputError: a row is wrong.
    """
    networks = read_networks(folder)
    pairs_N = [
        list(zip(n.references, predict(n.setting, n.references), strict=True)) for n in networks
    ]
    singles = [(s, one, predict(s, [one])[0]) for s, one in read_single(folder)]
    operations = {
        family: [
            pair
            for network, pairs in zip(networks, pairs_N, strict=True)
            if family in network.setting.unit
            for pair in pairs
        ]
        + [(one, found) for s, one, found in singles if family in s.unit]
        for family in FAMILIES
    }
    totals = [_total(network, pairs) for network, pairs in zip(networks, pairs_N, strict=True)]
    orders = [
        *_orders(
            (n.name, n.setting, p.reference, p.predicted)
            for n, p in zip(networks, totals, strict=True)
        ),
        *_orders((one.name.split()[0], s, one.cycles, found.cycles) for s, one, found in singles),
    ]
    layer_series = [
        Series(f"Vela, Ethos-{family.upper()}, operations", "cycles", _points(pairs))
        for family, pairs in operations.items()
    ]
    anchor = _anchor(folder)
    checks = [_layers(family, _points(pairs)) for family, pairs in operations.items() if pairs]
    checks += [_bounds(family, pairs) for family, pairs in operations.items() if pairs]
    checks += [_networks(totals), _modes(orders), _anchor_check(anchor)]
    return ToolResult(
        tool="Vela 5.2.0",
        about=(
            "Cycles of operations and of networks on the Ethos-U55, U65 and U85, by the compiler's "
            "own estimate, against the engine's timeline on a machine with the numbers of Vela's "
            "configuration files."
        ),
        checks=tuple(checks),
        series=(*layer_series, Series("Vela, networks", "cycles", tuple(totals))),
        notes=_notes(networks),
    )


def _pairs(network: Network) -> list[Pair]:
    found = predict(network.setting, network.references)
    return list(zip(network.references, found, strict=True))


def _points(pairs: Iterable[Pair]) -> tuple[Point, ...]:
    return tuple(Point(one.name, one.cycles, found.cycles) for one, found in pairs)


def _total(network: Network, pairs: Sequence[Pair]) -> Point:
    """A network's cycles, those of rows that are left out taken off."""
    return Point(
        f"{network.name} {network.setting}",
        network.total_cycles - network.left_out_cycles,
        sum(found.cycles for _, found in pairs),
    )


def _layers(family: str, points: Sequence[Point]) -> Check:
    mean = sum(relative_error(point) for point in points) / len(points)
    rank = spearman([p.reference for p in points], [p.predicted for p in points])
    return Check(
        f"Ethos-{family.upper()}, cycles of {len(points):,} operations",
        "mean error at most 20 %, rank correlation at least 0.97",
        f"mean error {mean:.1%}, rank correlation {0.0 if rank is None else rank:.4f}",
        mean <= 0.20 and rank is not None and rank >= 0.97,
    )


def _bounds(family: str, pairs: Sequence[Pair]) -> Check:
    """Whether operations that wait for memory are the same ones."""
    clear = [(one, found) for one, found in pairs if _reference_bound(one) is not None]
    same = sum(_reference_bound(one) == bound_of(found) for one, found in clear)
    return Check(
        f"Ethos-{family.upper()}, bound by memory or by computing, {len(clear):,} operations in "
        f"which the two differ by over {TIE:.0%}",
        "at least 90 % alike",
        f"{same:,} of {len(clear):,} alike ({same / max(1, len(clear)):.1%})",
        same >= 0.9 * len(clear),
    )


def _reference_bound(one: Reference) -> str | None:
    """What bounds an operation; None where memory and unit are about as slow."""
    memory = max(one.access_cycles.values())
    if abs(memory - one.npu_cycles) <= TIE * max(memory, one.npu_cycles):
        return None
    return "memory" if memory > one.npu_cycles else "compute"


def _networks(totals: Sequence[Point]) -> Check:
    errors = [relative_error(point) for point in totals]
    within = sum(error <= 0.10 for error in errors)
    worst = max(totals, key=relative_error)
    return Check(
        f"Cycles of {len(totals):,} networks in their memory modes",
        "each within 10 %",
        f"{within} of {len(totals)} within 10 %, mean {sum(errors) / len(errors):.1%}, worst "
        f"{max(errors):.1%} ({worst.name})",
        within == len(totals),
    )


def _orders(
    rows: Iterable[tuple[str, Setting, float, float]],
) -> list[tuple[float, float]]:
    """Time of one memory mode over another, by Vela and by the engine, on the same accelerator."""
    groups: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for name, setting, reference, predicted in rows:
        groups.setdefault((name, setting.unit, setting.system), []).append((reference, predicted))
    return [
        (a[0] / b[0], a[1] / b[1])
        for group in groups.values()
        for position, a in enumerate(group)
        for b in group[position + 1 :]
    ]


def _modes(orders: Sequence[tuple[float, float]]) -> Check:
    same = sum((reference - 1) * (predicted - 1) > 0 for reference, predicted in orders)
    clear = [(r, p) for r, p in orders if abs(r - 1) > 0.01]
    alike = sum((reference - 1) * (predicted - 1) > 0 for reference, predicted in clear)
    return Check(
        f"Order of two memory modes of one accelerator, {len(orders)} pairs",
        "the same wherever Vela's differ by over 1 %",
        f"{alike} of {len(clear)} the same ({same} of {len(orders)} with those that differ less)",
        alike == len(clear),
    )


def _anchor(folder: Path) -> Point:
    """MobileNetV2 on Arm's model of the Ethos-U55 (a simulator, not silicon)."""
    rows = read_rows(folder / ANCHORS_FILE, ANCHOR_COLUMNS)
    value = next(row.positive("value") for row in rows if row.text("id") == ANCHOR)
    setting = Setting("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Sram_Only")
    references = [Reference("MobileNetV2", layer, 1.0, 1.0, {}) for layer in mobilenet_v2()]
    cycles = sum(found.cycles for found in predict(setting, references))
    return Point("MobileNetV2, Ethos-U55-128, all in SRAM", value, cycles)


def _anchor_check(anchor: Point) -> Check:
    error = relative_error(anchor)
    return Check(
        "Arm's fixed virtual platform (not silicon): MobileNetV2 on an Ethos-U55-128",
        "within 10 % of 5.5 M cycles",
        f"{anchor.predicted / 1e6:.2f} M cycles ({anchor.predicted / anchor.reference - 1:+.1%})",
        error <= 0.10,
    )


def _notes(networks: Sequence[Network]) -> tuple[str, ...]:
    silent = sum(network.silent for network in networks)
    left_out = sum(network.left_out for network in networks)
    share = max((n.left_out_cycles / n.total_cycles for n in networks), default=0.0)
    return (
        f"{silent:,} rows of fused or chained operations have 0 cycles and are no operations of "
        f"their own; {left_out:,} rows without shapes (expanded softmaxes) are left out on both "
        f"sides, at most {share:.1%} of a network.",
        "Where a feature map of a Dedicated_Sram mode may be in DRAM or in its cache, Vela's row "
        "does not name the place; the choice whose DRAM cycles are nearest to the row's is taken. "
        "The cycles of the operation are not looked at.",
        "Weights of a network are taken as compressed by the network's mean, since rows of layers "
        "do not tell their encoded size; small layers compress differently.",
    )
