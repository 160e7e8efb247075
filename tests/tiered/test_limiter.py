"""Rates are kept whatever the host does; only bounds that load cannot break are timed."""

import threading
import time

import numpy as np
import pytest

from runtime.tiered.limiter import RateLimiter, wait_until

SLICE = 1 << 16


def move(limiter: RateLimiter, count: int, since_s: float | None, direction: str = "read") -> float:
    source_B = np.ones(SLICE, np.uint8)
    target_B = np.zeros(SLICE, np.uint8)
    due_s = 0.0
    limiter.announce(count)
    for number in range(count):
        due_s = limiter.transfer(
            lambda: np.copyto(target_B, source_B),
            SLICE,
            "read" if direction == "read" else "write",
            urgent=True,
            since_s=since_s,
            last=number == count - 1,
        )
    assert target_B.all()
    return due_s


@pytest.mark.parametrize(("direction", "rate"), [("read", 1e8), ("write", 2e8)])
def test_big_copies_take_their_time(direction: str, rate: float) -> None:
    limiter = RateLimiter(1e8, 2e8)
    began = time.perf_counter()
    due_s = move(limiter, 64, began, direction)
    ended = time.perf_counter()
    # The memory's own clock is exact but for rounding; the thread is never there before it.
    assert due_s - began == pytest.approx(64 * SLICE / rate, abs=1e-8)
    assert ended >= due_s
    assert limiter.moved_bytes == 64 * SLICE


def test_an_idle_memory_saves_nothing() -> None:
    limiter = RateLimiter(1e8, 1e8)
    move(limiter, 4, None)
    time.sleep(0.02)
    began = time.perf_counter()
    assert move(limiter, 8, began) - began == pytest.approx(8 * SLICE / 1e8, abs=1e-8)


def test_time_before_the_call_counts_where_there_was_work() -> None:
    limiter = RateLimiter(1e8, 1e8)
    since_s = time.perf_counter() - 10.0
    began = time.perf_counter()
    assert move(limiter, 8, since_s) < began


def test_the_running_op_goes_before_the_dma() -> None:
    limiter = RateLimiter(1e9, 1e9)
    order: list[str] = []
    limiter.announce(2)
    dma = threading.Thread(
        target=lambda: limiter.transfer(lambda: order.append("dma"), 1, "read", urgent=False)
    )
    dma.start()
    time.sleep(0.01)
    for _ in range(2):
        limiter.transfer(lambda: order.append("op"), 1, "read", urgent=True)
    dma.join()
    assert order == ["op", "op", "dma"]


def test_a_copy_that_fails_frees_the_memory() -> None:
    limiter = RateLimiter(1e9, 1e9)

    def fail() -> None:
        raise OSError("gone")

    limiter.announce(1)
    with pytest.raises(OSError, match="gone"):
        limiter.transfer(fail, 1, "read", urgent=True)
    limiter.transfer(lambda: None, 1, "read", urgent=False)


def test_waiting_is_never_short() -> None:
    moment = time.perf_counter() + 0.003
    wait_until(moment)
    assert time.perf_counter() >= moment
    wait_until(moment - 1.0)
