"""The placement problem: a workload on an accelerator, as flat arrays that compiled code walks.

Axis letters: N ops, T tensors, H homes, L tiers, K resources (`resource_names`),
V variants of all ops, E operand rows of all ops, C cells (row, variant, home).
"""

from array import array
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator, Home, homes_of
from accelerator_sim.batch_arrays import BatchArrays, build_batch_arrays
from accelerator_sim.cost.traffic import (
    STREAMED_KINDS,
    operand_use,
    resource_names,
    resource_seconds,
)
from accelerator_sim.cost.variants import Variant, variants_of
from accelerator_sim.price_table import build_price_table
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.workload import Op, Tensor, TensorKind, Workload


@dataclass(frozen=True, slots=True)
class EngineArrays:
    """What the compiled engine reads. All float64 arrays are seconds unless they say bytes."""

    variant_start_N: NDArray[np.int64]
    row_start_N: NDArray[np.int64]
    row_tensor_E: NDArray[np.int64]
    row_cell_E: NDArray[np.int64]
    row_is_read_E: NDArray[np.bool_]
    cost_CK: NDArray[np.float64]
    stream_C: NDArray[np.float64]
    ring_bytes_C: NDArray[np.float64]
    compute_V: NDArray[np.float64]
    fill_V: NDArray[np.float64]
    latency_H: NDArray[np.float64]
    tier_H: NDArray[np.int64]
    size_bytes_TH: NDArray[np.int64]
    start_T: NDArray[np.int64]
    end_T: NDArray[np.int64]
    image_bytes_T: NDArray[np.int64]
    streamed_T: NDArray[np.bool_]
    capacity_bytes_L: NDArray[np.int64]
    staging_bytes: int
    ring_bytes: float
    prefetch_ops: int
    radix_E: NDArray[np.int64]
    first_record_N: NDArray[np.int64]
    untabled_D: NDArray[np.int64]
    table_QF: NDArray[np.float64]
    batch: BatchArrays


@dataclass(frozen=True, slots=True)
class PlacementProblem:
    """A workload on an accelerator.

    Attributes:
        workload: ops and tensors.
        accelerator: the target.
        homes: what the home indices of a placement mean.
        allowed_TH: where each tensor may live; pinned tensors have one home.
        stored_ratio_T: stored bytes over packed bytes (layout rounding).
        variants_N: ways to execute each op, in the order of the arrays.
        arrays: for the engine.
    """

    workload: Workload
    accelerator: Accelerator
    homes: tuple[Home, ...]
    allowed_TH: NDArray[np.bool_]
    stored_ratio_T: NDArray[np.float64]
    variants_N: tuple[tuple[Variant, ...], ...] = field(repr=False)
    arrays: EngineArrays = field(repr=False)

    @property
    def op_count(self) -> int:
        """N."""
        return len(self.workload.ops)

    @property
    def tensor_count(self) -> int:
        """T."""
        return len(self.workload.tensors)

    @property
    def free_tensors(self) -> NDArray[np.int64]:
        """Tensors that have more than one allowed home."""
        return np.flatnonzero(self.allowed_TH.sum(axis=1) > 1)

    def home_name(self, home: int) -> str:
        """`SRAM`, `SRAM/partitioned`, ... for people."""
        where = self.homes[home]
        name = self.accelerator.tiers[where.tier].name
        return f"{name}/partitioned" if where.mode == "partitioned" else name


def build_problem(
    workload: Workload, accelerator: Accelerator, pins: dict[str, str] | None = None
) -> PlacementProblem:
    """Price every op under every home of its operands.

    Args:
        workload: ops and tensors.
        accelerator: the target.
        pins: tensor name to home name (`home_name`), each a hard constraint.

    Raises:
        InputError: the target has no rate for a type that the workload uses, or a pin names no
            tensor or no home.
        UnmetRequirementError: a tensor fits nowhere, or a pin cannot be met.
    """
    homes = homes_of(accelerator)
    ratio_T = np.array([_stored_ratio(t, accelerator) for t in workload.tensors])
    size_TH = _sizes(workload, accelerator, homes)
    allowed_TH = _allowed(workload, accelerator, homes, size_TH)
    if pins:
        allowed_TH = _pinned(workload, accelerator, homes, allowed_TH, pins)
    layouts = _producer_layouts(workload)
    variants_N = tuple(
        variants_of(op, accelerator, _layout_ops(op, workload, accelerator, layouts))
        for op in workload.ops
    )
    return PlacementProblem(
        workload,
        accelerator,
        homes,
        allowed_TH,
        ratio_T,
        variants_N,
        _flatten(workload, accelerator, homes, ratio_T, size_TH, allowed_TH, variants_N),
    )


def _padded_channels(tensor: Tensor, accelerator: Accelerator) -> int:
    """Channels as they are stored, where they are rounded up; weights are stored packed."""
    quantum = accelerator.layout_channels
    linear = accelerator.linear_io and tensor.kind is TensorKind.IO
    if linear or tensor.kind is TensorKind.WEIGHT or tensor.channels <= 0:
        return tensor.channels
    return -(-tensor.channels // quantum) * quantum


def _stored_ratio(tensor: Tensor, accelerator: Accelerator) -> float:
    padded = _padded_channels(tensor, accelerator)
    return 1.0 if padded == tensor.channels else padded / tensor.channels


def _sizes(
    workload: Workload,
    accelerator: Accelerator,
    homes: tuple[Home, ...],
) -> NDArray[np.int64]:
    """Bytes of a home's tier (per core) that each tensor takes; aliases take none."""
    size_TH = np.zeros((len(workload.tensors), len(homes)), np.int64)
    for t, tensor in enumerate(workload.tensors):
        if tensor.alias_of is not None:
            continue
        padded = _padded_channels(tensor, accelerator)
        stored = -(-tensor.size_bytes * padded // max(1, tensor.channels))
        if padded == tensor.channels:
            stored = tensor.size_bytes
        for h, home in enumerate(homes):
            align = accelerator.tiers[home.tier].alignment_bytes
            share = -(-stored // accelerator.core_count) if home.mode == "partitioned" else stored
            if home.mode == "shared" and tensor.kind is not TensorKind.WEIGHT:
                share *= accelerator.groups  # every group has its own activations
            size_TH[t, h] = -(-share // align) * align
    return size_TH


def _allowed(
    workload: Workload,
    accelerator: Accelerator,
    homes: tuple[Home, ...],
    size_TH: NDArray[np.int64],
) -> NDArray[np.bool_]:
    fits_TH = size_TH <= np.array(
        [int(accelerator.tiers[home.tier].capacity_bytes.value) for home in homes]
    )
    allowed_TH = np.zeros((len(workload.tensors), len(homes)), np.bool_)
    outer = next(h for h, home in enumerate(homes) if not accelerator.tiers[home.tier].read_only)
    for t, tensor in enumerate(workload.tensors):
        if tensor.kind is TensorKind.IO or tensor.alias_of is not None:
            allowed_TH[t, outer] = fits_TH[t, outer]
        else:
            for h, home in enumerate(homes):
                tier = accelerator.tiers[home.tier]
                if tier.read_only and tensor.kind is not TensorKind.WEIGHT:
                    continue
                modes = (
                    tier.weight_modes if tensor.kind in STREAMED_KINDS else tier.activation_modes
                )
                allowed_TH[t, h] = fits_TH[t, h] and (home.mode == "shared" or home.mode in modes)
        if not allowed_TH[t].any():
            io = tensor.kind is TensorKind.IO
            tiers = [
                tier
                for tier in accelerator.tiers
                if tensor.kind is TensorKind.WEIGHT or not tier.read_only
            ]
            largest = tiers[0] if io else max(tiers, key=lambda tier: tier.capacity_bytes.value)
            pinned = (
                ", where inputs and outputs are," if io else ", the largest memory it may be in,"
            )
            streamed = tensor.kind in STREAMED_KINDS
            modes = largest.weight_modes if streamed else largest.activation_modes
            needed_bytes = min(
                int(size_TH[t, h])
                for h, home in enumerate(homes)
                if accelerator.tiers[home.tier] is largest
                and (home.mode == "shared" or home.mode in modes)
            )
            raise UnmetRequirementError(
                f"{accelerator.name}: tiers.{largest.name}.capacity_bytes: tensor "
                f"{_shown(tensor.name)} needs {needed_bytes} bytes, and {largest.name}"
                f"{pinned} has {int(largest.capacity_bytes.value)}"
            )
    return allowed_TH


def _pinned(
    workload: Workload,
    accelerator: Accelerator,
    homes: tuple[Home, ...],
    allowed_TH: NDArray[np.bool_],
    pins: dict[str, str],
) -> NDArray[np.bool_]:
    names = {tensor.name: t for t, tensor in enumerate(workload.tensors)}
    home_names = {
        (f"{accelerator.tiers[home.tier].name}/partitioned" if home.mode == "partitioned"
         else accelerator.tiers[home.tier].name): h
        for h, home in enumerate(homes)
    }  # fmt: skip
    allowed_TH = allowed_TH.copy()
    for name, home_name in sorted(pins.items()):
        if name not in names:
            raise InputError(f"pin {_shown(name)}: the workload has no such tensor")
        if home_name not in home_names:
            known = ", ".join(home_names)
            raise InputError(
                f"pin {_shown(name)}: {accelerator.name} has no home {_shown(home_name)}; "
                f"it has {known}"
            )
        t, h = names[name], home_names[home_name]
        if not allowed_TH[t, h]:
            raise UnmetRequirementError(
                f"pin {_shown(name)}: {workload.tensors[t].size_bytes} bytes of kind "
                f"{workload.tensors[t].kind} may not live in {home_name}"
            )
        allowed_TH[t] = False
        allowed_TH[t, h] = True
    return allowed_TH


def _shown(name: str) -> str:
    """A name from a file on one line."""
    return name if name.isprintable() else ascii(name)


def _producer_layouts(workload: Workload) -> dict[int, str]:
    """Layout in which each activation was written; inputs and outputs are linear."""
    return {
        operand.tensor: op.layout
        for op in workload.ops
        for operand in op.operands
        if operand.is_write and workload.tensors[operand.tensor].kind is TensorKind.ACTIVATION
    }


def _layout_ops(
    op: Op, workload: Workload, accelerator: Accelerator, layouts: dict[int, str]
) -> int:
    """Vector operations that changing the layout of the op's inputs takes, one an element."""
    if not accelerator.layout_exchange:
        return 0
    return sum(
        prod(workload.tensors[operand.tensor].shape)
        for operand in op.operands
        if operand.tensor in layouts
        and not operand.is_write
        and layouts[operand.tensor] != op.layout
    )


def _image_bytes(workload: Workload, accelerator: Accelerator) -> NDArray[np.int64]:
    """Bytes that each weight takes in the outermost tier when it lives further in; others none."""
    align = accelerator.tiers[0].alignment_bytes
    return np.array(
        [
            -(-tensor.size_bytes // align) * align
            if tensor.kind is TensorKind.WEIGHT and tensor.alias_of is None
            else 0
            for tensor in workload.tensors
        ],
        np.int64,
    )


def _streamed(workload: Workload, accelerator: Accelerator) -> NDArray[np.bool_]:
    """Weights and states that some op reads; outside the innermost tier they stream by the ring."""
    streamed_T = np.zeros(len(workload.tensors), np.bool_)
    if accelerator.streaming.path != "ring":
        return streamed_T
    for op in workload.ops:
        for operand in op.operands:
            resident = workload.tensors[operand.tensor].kind in STREAMED_KINDS
            if resident and not operand.is_write and not operand.fresh:
                streamed_T[operand.tensor] |= operand.traffic_bytes > 0
    return streamed_T


def _flatten(
    workload: Workload,
    accelerator: Accelerator,
    homes: tuple[Home, ...],
    ratio_T: NDArray[np.float64],
    size_TH: NDArray[np.int64],
    allowed_TH: NDArray[np.bool_],
    variants_N: tuple[tuple[Variant, ...], ...],
) -> EngineArrays:
    variant_start, row_start, row_tensor, row_cell, row_is_read = [0], [0], [], [], []
    # What an operand asks in each of its homes, once for all operands that ask the same: seconds of
    # every resource, seconds of its stream, ring bytes. Flat, since objects take ten times as much.
    asked = array("d")
    cells = array("q")
    first_cell: dict[tuple[object, ...], int] = {}
    for op, variants in zip(workload.ops, variants_N, strict=True):
        for position, operand in enumerate(op.operands):
            tensor = workload.tensors[operand.tensor]
            row_tensor.append(operand.tensor)
            row_is_read.append(not operand.is_write)
            row_cell.append(len(cells))
            ratio = float(ratio_T[operand.tensor])
            for variant in variants:
                passes = variant.passes[position]
                key = (
                    operand.role, operand.traffic_bytes, operand.split_by, operand.halo_bytes,
                    operand.fresh,
                    tensor.kind, variant.split, variant.cores, passes, ratio,
                    variant.form(operand.role), variant.access,
                )  # fmt: skip
                first = first_cell.get(key)
                if first is None:
                    first = first_cell[key] = len(first_cell) * len(homes)
                    for home in homes:
                        use = operand_use(
                            operand, tensor.kind, home, variant, passes, accelerator, ratio
                        )
                        asked.extend(resource_seconds(use, accelerator))
                        asked.append(use.stream_s)
                        asked.append(use.ring_bytes)
                cells.extend(range(first, first + len(homes)))
        variant_start.append(variant_start[-1] + len(variants))
        row_start.append(len(row_tensor))
    resources = len(resource_names(accelerator))
    asked_CF = np.array(asked).reshape(-1, resources + 2)[np.array(cells, np.int64)]
    streaming = accelerator.streaming
    reserved = streaming.staging_bytes if streaming.path == "ring" else 0
    flat_variants = [variant for variants in variants_N for variant in variants]
    pricing = (
        np.array(variant_start, np.int64),
        np.array(row_start, np.int64),
        np.array(row_tensor, np.int64),
        np.array(row_cell, np.int64),
        np.array(row_is_read, np.bool_),
        np.ascontiguousarray(asked_CF[:, :resources]),
        np.ascontiguousarray(asked_CF[:, resources]),
        np.ascontiguousarray(asked_CF[:, resources + 1]),
        np.array([variant.compute_s for variant in flat_variants]),
        np.array([variant.fill_s for variant in flat_variants]),
        np.array([accelerator.tiers[home.tier].latency_s.value for home in homes]),
        np.array([home.tier for home in homes], np.int64),
    )
    table = build_price_table(pricing, allowed_TH, len(accelerator.tiers))
    start_T = np.array([tensor.start for tensor in workload.tensors], np.int64)
    end_T = np.array([tensor.end for tensor in workload.tensors], np.int64)
    return EngineArrays(
        *pricing,
        size_bytes_TH=size_TH,
        start_T=start_T,
        end_T=end_T,
        image_bytes_T=_image_bytes(workload, accelerator),
        streamed_T=_streamed(workload, accelerator),
        capacity_bytes_L=np.array(
            [int(tier.capacity_bytes.value) for tier in accelerator.tiers], np.int64
        ),
        staging_bytes=reserved,
        ring_bytes=float(max(0, reserved - 2 * streaming.slice_bytes)),
        prefetch_ops=streaming.prefetch_ops,
        radix_E=table.radix_E,
        first_record_N=table.first_record_N,
        untabled_D=table.untabled_D,
        table_QF=table.table_QF,
        batch=build_batch_arrays(
            table, pricing[1], pricing[2], allowed_TH, size_TH, pricing[11], start_T, end_T,
            len(accelerator.tiers),
        ),
    )  # fmt: skip
