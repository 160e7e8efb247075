"""Variations of the shipped accelerators, far from any real device."""

from typing import Literal

from hypothesis import strategies as st
from msgspec.structs import replace

from accelerator_sim.accelerator import Accelerator, Streaming, Tier
from accelerator_sim.mac_array import DirectConvolution, MacArray
from accelerator_sim.quantity import Quantity
from accelerator_sim.targets import load_target

TARGETS = ("nnp-i", "nnp-i-partitioned", "ethos-u65-512")
MODES: tuple[list[Literal["replicated", "partitioned"]], ...] = (
    ["replicated"],
    ["partitioned"],
    ["replicated", "partitioned"],
)

PATHS: tuple[Literal["ring", "direct"], ...] = ("ring", "ring", "direct")


def quantity(value: float) -> Quantity:
    return Quantity(value=value, source="a test")


def tier(
    name: str,
    scope: Literal["shared", "per-core"] = "shared",
    capacity: float = 1 << 30,
    read: float = 1e9,
    write: float = 1e9,
    latency: float = 0.0,
    energy: float = 0.0,
    alignment: int = 1,
    ports: Literal["shared", "separate"] = "shared",
    weight_modes: list[Literal["replicated", "partitioned"]] | None = None,
    activation_modes: list[Literal["replicated", "partitioned"]] | None = None,
) -> Tier:
    per_core = scope == "per-core"
    return Tier(
        name=name,
        scope=scope,
        capacity_bytes=quantity(capacity),
        read_bytes_per_s=quantity(read),
        write_bytes_per_s=quantity(write),
        latency_s=quantity(latency),
        energy_j_per_byte=quantity(energy),
        ports=ports,
        alignment_bytes=alignment,
        weight_modes=(weight_modes or ["replicated"]) if per_core else [],
        activation_modes=(activation_modes or ["replicated"]) if per_core else [],
    )


def with_streaming(
    base: Accelerator,
    prefetch_ops: int,
    slice_bytes: int,
    staging_bytes: int,
    path: Literal["ring", "direct"] = "ring",
    refetch: bool = True,
) -> Accelerator:
    return replace(
        base,
        streaming=Streaming(
            prefetch_ops=prefetch_ops,
            slice_bytes=slice_bytes,
            staging_bytes=staging_bytes,
            path=path,
            refetch=refetch,
            source="a test",
        ),
    )


def direct_convolution(base: MacArray) -> DirectConvolution:
    """NVDLA's unit with the rates of another."""
    return DirectConvolution(
        rows=8,
        columns=16,
        full_rate_type=base.full_rate_type,
        relative_rate=base.relative_rate,
        source="a test",
        input_channel_quantum=16,
        output_channel_quantum=8,
        space_to_depth="where-faster",
        weight_channel_quantum=4,
        winograd_speedup=quantity(2.25),
        winograd_weight_ratio=quantity(16 / 9),
    )


def scaled(base: Quantity, factor: float) -> Quantity:
    return quantity(base.value * factor)


@st.composite
def accelerators(draw: st.DrawFn, capacities: tuple[int, int] = (1 << 14, 1 << 26)) -> Accelerator:
    """Tiers in no order of speed, cores with little or much of everything."""
    base = load_target(draw(st.sampled_from(TARGETS)))
    rates = st.floats(1e8, 1e12, allow_nan=False)
    names = ["T0", "T1", "T2", "T3"][: draw(st.integers(1, 4))]
    tiers = []
    for index, name in enumerate(names):
        scope = draw(st.sampled_from(("shared", "per-core"))) if index else "shared"
        innermost = index + 1 == len(names)
        tiers.append(
            tier(
                name,
                scope,
                capacity=draw(st.integers(*capacities)) if index else float(1 << 40),
                read=draw(rates),
                write=draw(rates),
                latency=draw(st.sampled_from((0.0, 1e-8, 2e-7))),
                energy=1e-12 * (index + 1),
                alignment=draw(st.sampled_from((1, 16, 64))),
                ports=draw(st.sampled_from(("shared", "shared", "separate"))),
                weight_modes=draw(st.sampled_from(MODES if innermost else MODES[:1])),
                activation_modes=draw(st.sampled_from(MODES)),
            )
        )
    slice_bytes = draw(st.sampled_from((64, 1000, 65536)))
    ring_bytes = draw(st.sampled_from((0, 1, 5000, 1 << 19, 1 << 30)))
    cores = draw(st.sampled_from((1, 2, 3, 12)))
    direct = None if base.mac_array is None else direct_convolution(base.mac_array)
    changed = replace(
        base,
        tiers=tiers,
        cores=quantity(cores),
        clock_hz=scaled(base.clock_hz, draw(st.sampled_from((0.1, 1.0, 50.0)))),
        tile_buffer_bytes=quantity(draw(st.sampled_from((64, 4096, 262144)))),
        launch_overhead_s=quantity(draw(st.sampled_from((0.0, 5e-7)))),
        layout_channels=draw(st.sampled_from((1, 16, 48))),
        layout_exchange=draw(st.booleans()),
        groups=draw(st.sampled_from((1, 1, 4))),
        mac_array=draw(st.sampled_from((base.mac_array, direct, None))),
        interconnect=replace(
            base.interconnect,
            bytes_per_s=quantity(draw(rates)),
            port_bytes_per_s=quantity(draw(rates)),
            multicast=draw(st.booleans()),
        ),
    )
    return with_streaming(
        changed,
        draw(st.integers(0, 8)),
        slice_bytes,
        2 * slice_bytes + ring_bytes,
        draw(st.sampled_from(PATHS)),
        draw(st.booleans()),
    )
