"""Runs in torch whose results do not depend on the machine's number of processors."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import isfinite
from typing import TypeVar

import torch

from graph_ir.compression.sites import Site
from graph_ir.errors import InputError

A = TypeVar("A")
B = TypeVar("B")


@contextmanager
def reproducible() -> Iterator[None]:
    """Within it torch uses deterministic algorithms, and one thread for each operator."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)


def finite(loss: float, first: Site) -> float:
    """The loss.

    Raises:
        InputError: it is not finite, so that nothing can be learned from it.
    """
    if not isfinite(loss):
        raise InputError(
            f"outputs behind {first.name}: expected finite values on the calibration inputs, got "
            "NaN or infinity"
        )
    return loss


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_parallel(function: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """The function's results in the order of the items, whatever the order of their computation."""
    workers = min(len(items), processors())
    if workers < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))
