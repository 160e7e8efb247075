"""Accelerator files that the package ships, and the loader that checks any such file."""

import math
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from accelerator_sim.accelerator import Accelerator, Quantity, Tier
from graph_ir.datatypes import BITS
from graph_ir.errors import InputError

TARGET_SCHEMA = 1
MAX_FILE_BYTES = 1 << 20

# Name of the target to the file beside this one.
TARGETS: dict[str, str] = {
    "nnp-i": "nnp-i.toml",
    "nnp-i-partitioned": "nnp-i-partitioned.toml",
    "ethos-u65-512": "ethos-u65-512.toml",
}


def target_text(name_or_path: str) -> tuple[str, str]:
    """The TOML text of a shipped target or of a file, and where it came from.

    Raises:
        InputError: no such target or file, or the file cannot be read.
    """
    if name_or_path in TARGETS:
        path = Path(__file__).parent / TARGETS[name_or_path]
    elif name_or_path.endswith(".toml") or os.sep in name_or_path:
        path = Path(name_or_path)
    else:
        known = ", ".join(TARGETS)
        raise InputError(
            f"target {name_or_path}: unknown; expected one of {known}, or a .toml file"
        )
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: expected at most {MAX_FILE_BYTES} bytes")
        return path.read_text("utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def load_target(name_or_path: str) -> Accelerator:
    """Load and check an accelerator.

    Args:
        name_or_path: a key of `TARGETS`, or the path of a TOML file.

    Raises:
        InputError: naming file and key.
    """
    text, where = target_text(name_or_path)
    return parse_target(text, where)


def parse_target(text: str, where: str) -> Accelerator:
    """Parse and check the text of an accelerator file.

    Raises:
        InputError: naming `where` and the key.
    """
    try:
        accelerator = msgspec.convert(tomllib.loads(text), Accelerator)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: not valid TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {error}") from error
    for key, problem in _problems(accelerator):
        raise InputError(f"{where}: {key}: {problem}")
    return accelerator


def _problems(a: Accelerator) -> Iterator[tuple[str, str]]:
    if a.schema != TARGET_SCHEMA:
        yield "schema", f"expected {TARGET_SCHEMA}, got {a.schema}"
    for key, quantity in _quantities(a):
        if not math.isfinite(quantity.value) or quantity.value < 0:
            yield key, f"expected a finite number that is not negative, got {quantity.value}"
        if quantity.assumed and not quantity.reason:
            yield key, "is assumed, so a reason is expected"
        if not quantity.assumed and not quantity.source:
            yield key, "expected a source, or assumed = true with a reason"
    for key in ("clock_hz", "cores", "tile_buffer_bytes"):
        if getattr(a, key).value <= 0:
            yield key, "expected more than 0"
    if a.cores.value != int(a.cores.value):
        yield "cores", f"expected a whole number, got {a.cores.value}"
    if a.layout_channels < 1:
        yield "layout_channels", f"expected at least 1, got {a.layout_channels}"
    yield from _tier_problems(a)
    yield from _unit_problems(a)


def _tier_problems(a: Accelerator) -> Iterator[tuple[str, str]]:
    if not a.tiers:
        yield "tiers", "expected at least one"
        return
    names = [tier.name for tier in a.tiers]
    if len(set(names)) != len(names):
        yield "tiers", f"expected different names, got {', '.join(names)}"
    for tier in a.tiers:
        for key in ("read_bytes_per_s", "write_bytes_per_s", "capacity_bytes"):
            if getattr(tier, key).value <= 0:
                yield f"tiers.{tier.name}.{key}", "expected more than 0"
        if tier.alignment_bytes < 1:
            yield f"tiers.{tier.name}.alignment_bytes", "expected at least 1"
        if (tier.scope == "per-core") != bool(tier.weight_modes and tier.activation_modes):
            yield (
                f"tiers.{tier.name}",
                "expected weight_modes and activation_modes on per-core tiers and on no others",
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
        if s.prefetch_ops < 0 or s.slice_bytes < 1:
            yield "streaming", "expected prefetch_ops >= 0 and slice_bytes >= 1"
        if not 2 * s.slice_bytes <= s.staging_bytes <= inner_bytes:
            yield (
                "streaming.staging_bytes",
                f"expected at least two slices and at most {int(inner_bytes)} bytes "
                f"({a.tiers[-1].name}), got {s.staging_bytes}",
            )
        if not s.source and not (s.assumed and s.reason):
            yield "streaming", "expected a source, or assumed = true with a reason"
    for key in ("bytes_per_s", "port_bytes_per_s"):
        if getattr(a.interconnect, key).value <= 0:
            yield f"interconnect.{key}", "expected more than 0"


def _unit_problems(a: Accelerator) -> Iterator[tuple[str, str]]:
    for name, lanes in a.vector_unit.lanes.items():
        if name not in BITS:
            yield f"vector_unit.lanes.{name}", f"expected a type of {', '.join(BITS)}"
        if lanes.value <= 0:
            yield f"vector_unit.lanes.{name}", "expected more than 0"
    if a.default_type not in a.vector_unit.lanes:
        yield "default_type", f"{a.default_type} has no lanes in vector_unit"
    if a.mac_array is None:
        return
    array = a.mac_array
    if min(array.rows, array.columns, array.depth) < 1:
        yield "mac_array", "expected rows, columns and depth of at least 1"
    for pair, rate in array.relative_rate.items():
        if [part in BITS for part in pair.split("*")] != [True, True]:
            yield f"mac_array.relative_rate.{pair}", "expected activation*weight types"
        if rate.value <= 0:
            yield f"mac_array.relative_rate.{pair}", "expected more than 0"
        if pair not in a.energy.mac_j:
            yield f"energy.mac_j.{pair}", "expected, since mac_array has a rate for it"
    default_pair = f"{a.default_type}*{a.default_type}"
    if default_pair not in array.relative_rate:
        yield "default_type", f"mac_array has no rate for {default_pair}"
    peak = a.published_peak
    if peak is not None:
        rate_quantity = array.relative_rate.get(peak.type_pair)
        if rate_quantity is None:
            yield "published_peak.type_pair", f"mac_array has no rate for {peak.type_pair}"
            return
        derived = (
            2 * a.cores.value * array.rows * array.columns * array.depth
            * rate_quantity.value * a.clock_hz.value
        )  # fmt: skip
        if abs(derived / peak.ops_per_s - 1) > peak.tolerance:
            yield (
                "published_peak.ops_per_s",
                f"expected about {derived:.4g} (2 x cores x MACs x rate x clock), "
                f"got {peak.ops_per_s:.4g}",
            )


def _total(tier: Tier, key: str, a: Accelerator) -> float:
    quantity: Quantity = getattr(tier, key)
    return quantity.value * (a.cores.value if tier.scope == "per-core" else 1)


def _quantities(a: Accelerator) -> Iterator[tuple[str, Quantity]]:
    """Every `Quantity` of the file with its key path."""
    yield from _walk("", a)


def _walk(path: str, value: object) -> Iterator[tuple[str, Quantity]]:
    if isinstance(value, Quantity):
        yield path, value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _walk(f"{path}.{name}" if path else name, getattr(value, name))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(f"{path}.{name}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            label = item.name if isinstance(item, Tier) else str(index)
            yield from _walk(f"{path}.{label}", item)
