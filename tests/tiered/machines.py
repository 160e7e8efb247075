"""A small tiered machine for tests: memories so small that everything streams."""

from accelerator_sim.accelerator import Accelerator, Streaming
from accelerator_sim.quantity import Quantity
from egrl.calibration.machine import HostRates, Level, host_accelerator
from runtime.tiered.accelerator import TierChoice, tiered_accelerator
from runtime.tiered.memories import FILE_TIER

STREAMING = Streaming(prefetch_ops=4, slice_bytes=256, staging_bytes=1024, source="test")


def known(value: float) -> Quantity:
    return Quantity(value, source="test")


def host_rates() -> HostRates:
    return HostRates(
        clock_hz=known(2e9),
        vector_bytes=32,
        launch_s=known(1e-5),
        mac_rate={"conv": known(0.5), "depthwise": known(0.05), "matmul": known(0.8)},
        int8_rate=known(2.0),
        vector_rate={"softmax": known(0.1)},
        memory=Level(known(2**34), known(8e9), known(6e9)),
        cache=Level(known(2**25), known(2e10), known(2e10)),
        tile_buffer_bytes=known(2**19),
    )


def tiny_machine(fast_bytes: int = 16384) -> Accelerator:
    outer = (TierChoice(FILE_TIER, 1 << 30, 2e8, 1e-5), TierChoice("SLOW", 32768, 1e9, 1e-5))
    host = host_accelerator(host_rates(), "test")
    return tiered_accelerator(host, outer, fast_bytes, STREAMING)
