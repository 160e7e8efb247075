"""Clock and memory of the processor, by loops of one thread."""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import njit

from accelerator_sim.quantity import Quantity
from egrl.calibration.machine import Level

CYCLES_PER_STEP = 6
"""Of three dependent shifts and exclusive ors of 64 bits, each a cycle, on x86-64."""

_STEPS = 2_000_000
_LARGE_BYTES = 256 << 20
_CACHED_BYTES = 4 << 20
_FACTORS = {"K": 1 << 10, "M": 1 << 20}
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


def memory_level() -> Level:
    """Memory beyond the caches, as one core sees it."""
    capacity = Quantity(
        float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        source="physical memory, by the operating system",
    )
    return _level(_LARGE_BYTES, capacity)


def cache_level() -> Level:
    """The last-level cache, as one core sees it."""
    return _level(_CACHED_BYTES, cache_bytes("3", 8 << 20))


def _level(size: int, capacity: Quantity) -> Level:
    values_N = np.ones(size // 4, np.float32)
    passes = max(1, _LARGE_BYTES // size // 4)

    def read() -> None:
        for _ in range(passes):
            values_N.max()

    def write() -> None:
        for _ in range(passes):
            values_N.fill(2.0)

    rates = []
    for what, call in (("maximum", read), ("fill", write)):
        found = [passes * size / s for s in timed(call, _RUNS)]
        text = f"measured: {what} of {size >> 20} MiB by one core, median of {_RUNS} runs"
        rates.append(Quantity(statistics.median(found), source=f"{text} ({spread_text(found)})"))
    return Level(capacity, *rates)


def cache_bytes(
    level: str, otherwise: int, sysfs: Path = Path("/sys/devices/system/cpu/cpu0/cache")
) -> Quantity:
    """A data cache as the kernel describes it.

    Args:
        level: `2` or `3`.
        otherwise: bytes where the kernel does not say.
        sysfs: folder of one core's caches.
    """
    for index in sorted(sysfs.glob("index*")):
        size = _word(index / "size")
        if _word(index / "level") == level and _word(index / "type") != "Instruction":
            factor = _FACTORS.get(size[-1:], 0)
            if factor and size[:-1].isdigit():
                found = float(int(size[:-1]) * factor)
                return Quantity(found, source=f"level-{level} cache, by the kernel")
    return Quantity(float(otherwise), assumed=True, reason="the system does not say its caches")


def timed(call: Callable[[], object], runs: int) -> list[float]:
    """CPU seconds of each of `runs` calls in this thread, after one that is not counted."""
    call()
    seconds = []
    for _ in range(runs):
        began = time.thread_time()
        call()
        seconds.append(time.thread_time() - began)
    return seconds


def spread_text(values: list[float]) -> str:
    """Least, median and most of some measurements."""
    return f"{min(values):.4g} to {max(values):.4g}, median {statistics.median(values):.4g}"


def _word(path: Path) -> str:
    return path.read_text("utf-8").strip() if path.exists() else ""
