"""Linear algebra whose results are the same bytes on any number of cores."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep numpy's linear algebra to one thread: how it splits its sums depends on their number."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    """What numpy computes with; looked up once, since that takes a millisecond."""
    np.linalg.inv(np.eye(1))  # It is loaded now.
    return ThreadpoolController()
