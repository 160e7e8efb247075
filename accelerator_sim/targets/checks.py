"""What must hold of an accelerator file beyond its form: ranges, sources, order, peak."""

import re
from collections.abc import Iterator

import msgspec

from accelerator_sim.accelerator import Accelerator, Tier
from accelerator_sim.mac_array import DirectConvolution
from accelerator_sim.quantity import Quantity
from accelerator_sim.targets.ethos_u_checks import ethos_u_problems, stream_problems
from accelerator_sim.tiling import ConvolutionBuffer
from graph_ir.datatypes import BITS
from graph_ir.workload import OpFamily

TARGET_SCHEMA = 1

LARGEST = 1e18
"""No number of a file is larger, so that bytes fit 64 bits and seconds stay finite."""

LARGEST_QUANTUM = 1 << 20
"""Alignments and layouts that round sizes up further are taken for mistakes; so are more cores,
larger grids and deeper queues."""

SMALLEST_SLICE = 64
"""Bytes of a DMA transfer: smaller ones are no memory's, and a plan would list millions."""

STREAMABLE_VIEWS = ("Transpose", "Slice", "Split", "Expand")

LARGEST_TOLERANCE = 0.25
"""A published peak that is further off is another device's."""

RESOURCES = ("mac", "vector", "interconnect", "port")
"""What a report calls the units beside the tiers."""

FAMILIES = tuple(family.value for family in OpFamily)
MAC_FAMILIES = ("conv", "depthwise", "matmul", "attention")

_TIER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def problems_of(a: Accelerator) -> Iterator[tuple[str, str]]:
    """Key and complaint of everything that makes an accelerator unusable, first things first."""
    if a.schema != TARGET_SCHEMA:
        yield "schema", f"expected {TARGET_SCHEMA}, got {a.schema}"
    yield from _name_problems(a)
    yield from _integer_problems("", a)
    for key, quantity in _quantities("", a):
        if not 0 <= quantity.value <= LARGEST:
            yield key, f"expected a number from 0 to {LARGEST:g}, got {quantity.value}"
        if quantity.assumed and not quantity.reason:
            yield key, "is assumed, so a reason is expected"
        if not quantity.assumed and not quantity.source:
            yield key, "expected a source, or assumed = true with a reason"
    for key in ("clock_hz", "cores", "tile_buffer_bytes"):
        if getattr(a, key).value < 1:
            yield key, f"expected at least 1, got {getattr(a, key).value}"
    if a.cores.value != int(a.cores.value):
        yield "cores", f"expected a whole number, got {a.cores.value}"
    if a.cores.value > LARGEST_QUANTUM:
        yield "cores", f"expected at most {LARGEST_QUANTUM}, got {a.cores.value:g}"
    for view in a.streamed_views:
        if view not in STREAMABLE_VIEWS:
            yield "streamed_views", f"expected some of {', '.join(STREAMABLE_VIEWS)}, got {view!a}"
    if not 1 <= a.groups <= LARGEST_QUANTUM:
        yield "groups", f"expected 1 to {LARGEST_QUANTUM}, got {a.groups}"
    if not 1 <= a.layout_channels <= LARGEST_QUANTUM:
        expected = f"expected 1 to {LARGEST_QUANTUM}"
        yield "layout_channels", f"{expected}, got {a.layout_channels}"
    if not a.dequantize.source and not (a.dequantize.assumed and a.dequantize.reason):
        yield "dequantize.source", "expected a source, or assumed = true with a reason"
    yield from _tier_problems(a)
    yield from stream_problems(a.tiers)
    yield from ethos_u_problems(a)
    yield from _unit_problems(a)
    yield from _convolution_problems(a)


def _name_problems(a: Accelerator) -> Iterator[tuple[str, str]]:
    if not a.name or not a.name.isprintable():
        yield "name", f"expected printable text, got {a.name!a}"
    for index, tier in enumerate(a.tiers):
        if not _TIER_NAME.fullmatch(tier.name) or tier.name in RESOURCES:
            yield (
                f"tiers.{index}.name",
                f"expected letters, digits, '.', '_' or '-', and none of {', '.join(RESOURCES)}, "
                f"got {tier.name!a}",
            )
    for where, table in (
        ("vector_unit.lanes", a.vector_unit.lanes),
        ("energy.mac_j", a.energy.mac_j),
        ("mac_array.relative_rate", getattr(a.mac_array, "relative_rate", {})),
    ):
        for key in table:
            if [part in BITS for part in key.split("*")] not in ([True], [True, True]):
                known = ", ".join(BITS)
                yield f"{where}.{key!a}", f"expected a type of {known}, or two with * between"


def _integer_problems(path: str, value: object) -> Iterator[tuple[str, str]]:
    """Whole numbers that no array of the simulator could hold."""
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        yield path, f"expected a number up to {LARGEST:g}, got one of {value.bit_length()} bits"
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _integer_problems(f"{path}.{name}" if path else name, getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            label = item.name if isinstance(item, Tier) else ""
            yield from _integer_problems(f"{path}.{label}", item)


def _tier_problems(a: Accelerator) -> Iterator[tuple[str, str]]:
    if not a.tiers:
        yield "tiers", "expected at least one"
        return
    names = [tier.name for tier in a.tiers]
    if len(set(names)) != len(names):
        yield "tiers", f"expected different names, got {', '.join(names)}"
    for tier in a.tiers:
        for key in ("read_bytes_per_s", "write_bytes_per_s", "capacity_bytes"):
            if getattr(tier, key).value < 1:
                got = getattr(tier, key).value
                yield f"tiers.{tier.name}.{key}", f"expected at least 1, got {got}"
        if not 1 <= tier.alignment_bytes <= LARGEST_QUANTUM:
            yield (
                f"tiers.{tier.name}.alignment_bytes",
                f"expected 1 to {LARGEST_QUANTUM}, got {tier.alignment_bytes}",
            )
        for key in ("weight_modes", "activation_modes"):
            if (tier.scope == "per-core") != bool(getattr(tier, key)):
                expected = "at least one" if tier.scope == "per-core" else "none"
                yield f"tiers.{tier.name}.{key}", f"expected {expected} in a {tier.scope} tier"
    for tier in a.tiers[:-1]:
        if "partitioned" in tier.weight_modes:
            yield (
                f"tiers.{tier.name}.weight_modes",
                "expected replicated only: weights are partitioned in the innermost tier alone",
            )
    if a.tiers[0].scope != "shared":
        yield f"tiers.{names[0]}.scope", "expected the outermost tier to be shared"
    for outer, inner in zip(a.tiers, a.tiers[1:], strict=False):
        if _total(inner, "read_bytes_per_s", a) < _total(outer, "read_bytes_per_s", a):
            yield (
                f"tiers.{inner.name}.read_bytes_per_s",
                f"expected the order outermost to innermost, but it is slower than {outer.name}",
            )
    inner_bytes = a.tiers[-1].capacity_bytes.value
    if len(a.tiers) > 1:
        s = a.streaming
        if not 0 <= s.prefetch_ops <= LARGEST_QUANTUM:
            expected = f"expected 0 to {LARGEST_QUANTUM}"
            yield "streaming.prefetch_ops", f"{expected}, got {s.prefetch_ops}"
        if s.slice_bytes < SMALLEST_SLICE:
            yield (
                "streaming.slice_bytes",
                f"expected at least {SMALLEST_SLICE}, got {s.slice_bytes}",
            )
        if not 2 * s.slice_bytes <= s.staging_bytes <= inner_bytes:
            yield (
                "streaming.staging_bytes",
                f"expected at least two slices and at most {int(inner_bytes)} bytes "
                f"({a.tiers[-1].name}), got {s.staging_bytes}",
            )
        if not s.source and not (s.assumed and s.reason):
            yield "streaming", "expected a source, or assumed = true with a reason"
    for key in ("bytes_per_s", "port_bytes_per_s"):
        if getattr(a.interconnect, key).value < 1:
            got = getattr(a.interconnect, key).value
            yield f"interconnect.{key}", f"expected at least 1, got {got}"


def _unit_problems(a: Accelerator) -> Iterator[tuple[str, str]]:
    for name, lanes in a.vector_unit.lanes.items():
        if name not in BITS:
            yield f"vector_unit.lanes.{name}", f"expected a type of {', '.join(BITS)}"
        if lanes.value <= 0:
            yield f"vector_unit.lanes.{name}", "expected more than 0"
    for unit, table, known in (
        ("vector_unit", a.vector_unit.family_rate, FAMILIES),
        ("mac_array", getattr(a.mac_array, "family_rate", {}), MAC_FAMILIES),
    ):
        for name, rate in table.items():
            if name not in known:
                yield f"{unit}.family_rate.{name}", f"expected one of {', '.join(known)}"
            if rate.value <= 0:
                yield f"{unit}.family_rate.{name}", "expected more than 0"
    if a.default_type not in a.vector_unit.lanes:
        yield "default_type", f"{a.default_type} has no lanes in vector_unit"
    if a.mac_array is None:
        return
    array = a.mac_array
    for key in ("rows", "columns", "depth"):
        if not 1 <= getattr(array, key, 1) <= LARGEST_QUANTUM:
            expected = f"expected 1 to {LARGEST_QUANTUM}"
            yield f"mac_array.{key}", f"{expected}, got {getattr(array, key)}"
    port = getattr(array, "operand_port", None)
    if port is not None:
        for key, got, least in (
            ("bytes_per_cycle", port.bytes_per_cycle.value, 1),
            ("weight_tiles", port.weight_tiles, 0),
            ("accumulator_bytes", port.accumulator_bytes, 1),
        ):
            if not least <= got <= LARGEST_QUANTUM:
                expected = f"expected {least} to {LARGEST_QUANTUM}"
                yield f"mac_array.operand_port.{key}", f"{expected}, got {got}"
    if not array.source:
        yield "mac_array.source", "expected a source"
    for pair, rate in array.relative_rate.items():
        if [part in BITS for part in pair.split("*")] != [True, True]:
            yield f"mac_array.relative_rate.{pair}", "expected activation*weight types"
        if rate.value <= 0:
            yield f"mac_array.relative_rate.{pair}", "expected more than 0"
        if pair not in a.energy.mac_j:
            yield f"energy.mac_j.{pair}", "expected, since mac_array has a rate for it"
    full_pair = f"{array.full_rate_type}*{array.full_rate_type}"
    if full_pair in array.relative_rate and array.relative_rate[full_pair].value != 1.0:
        got = array.relative_rate[full_pair].value
        yield f"mac_array.relative_rate.{full_pair}", f"expected 1 (full_rate_type), got {got}"
    if array.full_rate_type not in BITS:
        yield "mac_array.full_rate_type", f"expected a type of {', '.join(BITS)}"
    default_pair = f"{a.default_type}*{a.default_type}"
    if default_pair not in array.relative_rate:
        yield "default_type", f"mac_array has no rate for {default_pair}"
    peak = a.published_peak
    if peak is not None:
        if not 0 < peak.ops_per_s <= LARGEST:
            yield "published_peak.ops_per_s", f"expected more than 0, got {peak.ops_per_s}"
        if not 0 < peak.tolerance <= LARGEST_TOLERANCE:
            expected = f"expected more than 0, at most {LARGEST_TOLERANCE}"
            yield "published_peak.tolerance", f"{expected}, got {peak.tolerance}"
        if not peak.source:
            yield "published_peak.source", "expected a source"
        rate_quantity = array.relative_rate.get(peak.type_pair)
        if rate_quantity is None:
            yield "published_peak.type_pair", f"mac_array has no rate for {peak.type_pair}"
            return
        derived = (
            2 * a.cores.value * a.groups * array.macs_per_cycle
            * rate_quantity.value * a.clock_hz.value
        )  # fmt: skip
        if abs(derived / peak.ops_per_s - 1) > peak.tolerance:
            yield (
                "published_peak.ops_per_s",
                f"expected about {derived:.4g} (2 x cores x MACs x rate x clock), "
                f"got {peak.ops_per_s:.4g}",
            )


def _convolution_problems(a: Accelerator) -> Iterator[tuple[str, str]]:
    array, tiling = a.mac_array, a.tiling
    if isinstance(array, DirectConvolution):
        for key in ("input_channel_quantum", "output_channel_quantum", "weight_channel_quantum"):
            if not 1 <= getattr(array, key) <= LARGEST_QUANTUM:
                expected = f"expected 1 to {LARGEST_QUANTUM}"
                yield f"mac_array.{key}", f"{expected}, got {getattr(array, key)}"
        for key in ("winograd_speedup", "winograd_weight_ratio"):
            if getattr(array, key).value < 1:
                got = getattr(array, key).value
                yield f"mac_array.{key}", f"expected at least 1, got {got}"
    if isinstance(tiling, ConvolutionBuffer):
        if not 1 <= tiling.kernel_group <= LARGEST_QUANTUM:
            expected = f"expected 1 to {LARGEST_QUANTUM}"
            yield "tiling.kernel_group", f"{expected}, got {tiling.kernel_group}"
        if not 0 <= tiling.spare_lines <= LARGEST_QUANTUM:
            expected = f"expected 0 to {LARGEST_QUANTUM}"
            yield "tiling.spare_lines", f"{expected}, got {tiling.spare_lines}"
        if not tiling.source:
            yield "tiling.source", "expected a source"


def _total(tier: Tier, key: str, a: Accelerator) -> float:
    quantity: Quantity = getattr(tier, key)
    return quantity.value * (a.cores.value if tier.scope == "per-core" else 1)


def _quantities(path: str, value: object) -> Iterator[tuple[str, Quantity]]:
    """Every `Quantity` below a value with its key path."""
    if isinstance(value, Quantity):
        yield path, value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _quantities(f"{path}.{name}" if path else name, getattr(value, name))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _quantities(f"{path}.{name}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            label = item.name if isinstance(item, Tier) else str(index)
            yield from _quantities(f"{path}.{label}", item)
