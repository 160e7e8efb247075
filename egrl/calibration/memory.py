"""Clock and memory of the processor, by loops of one thread."""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import njit

from accelerator_sim.quantity import Quantity

CYCLES_PER_STEP = 6
"""Of three dependent shifts and exclusive ors of 64 bits, each a cycle, on x86-64."""

_STEPS = 2_000_000
_LARGE_BYTES = 256 << 20
_RUNS = 9


@njit(cache=True)  # type: ignore[untyped-decorator]
def _chain(steps: int, x: np.uint64) -> np.uint64:
    """Each step needs the result of the one before, so none overlap."""
    for _ in range(steps):
        x ^= x << np.uint64(13)
        x ^= x >> np.uint64(7)
        x ^= x << np.uint64(17)
    return x


def clock_hz() -> Quantity:
    """The core's clock while it computes."""
    seconds = timed(lambda: _chain(_STEPS, np.uint64(1)), _RUNS)
    rates = [CYCLES_PER_STEP * _STEPS / s for s in seconds]
    # What disturbs a loop without memory only makes it slower: the fastest run is the clock.
    return Quantity(
        max(rates),
        source=f"measured: dependent steps of {CYCLES_PER_STEP} cycles, fastest of "
        f"{_RUNS} runs ({spread_text(rates)})",
    )


def memory_rates() -> tuple[Quantity, Quantity]:
    """Bytes a second that one core reads from and writes to memory beyond its caches."""
    values_N = np.ones(_LARGE_BYTES // 4, np.float32)
    size = values_N.nbytes
    read = [size / s for s in timed(values_N.max, _RUNS)]
    write = [size / s for s in timed(lambda: values_N.fill(2.0), _RUNS)]
    what = f"of {size >> 20} MiB by one core, median of {_RUNS} runs"
    return (
        Quantity(statistics.median(read), source=f"measured: maximum {what} ({spread_text(read)})"),
        Quantity(statistics.median(write), source=f"measured: fill {what} ({spread_text(write)})"),
    )


def capacity_bytes() -> Quantity:
    """Memory of the machine."""
    return Quantity(
        float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        source="physical memory, by the operating system",
    )


def cache_bytes(sysfs: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> Quantity:
    """The second-level data cache of a core; 1 MiB where the system does not say."""
    for index in sorted(sysfs.glob("index*")):
        level, kind = _word(index / "level"), _word(index / "type")
        size = _word(index / "size")
        if level == "2" and kind in ("Unified", "Data") and size.endswith("K"):
            return Quantity(float(size[:-1]) * 1024, source="second-level cache, by the kernel")
    return Quantity(float(1 << 20), assumed=True, reason="the system does not say its caches")


def timed(call: Callable[[], object], runs: int) -> list[float]:
    """Wall seconds of each of `runs` calls, after one that is not counted."""
    call()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return seconds


def spread_text(values: list[float]) -> str:
    """Least, median and most of some measurements."""
    return f"{min(values):.4g} to {max(values):.4g}, median {statistics.median(values):.4g}"


def _word(path: Path) -> str:
    return path.read_text("utf-8").strip() if path.exists() else ""
