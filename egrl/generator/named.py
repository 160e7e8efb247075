"""Large generated workloads with a name, for benchmarks and tests.

Each has the first seed, from 1 on, at which `acts-first` is at least 5 % slower on `nnp-i` than
unlimited memories would be: on the others there is nothing to compare.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from egrl.generator.workloads.registry import generate_workload
from graph_ir.workload import Workload


def named_workload(family: str, ops: int, seed: int) -> Workload:
    """The fp16 workload of a family, a number of ops and a seed."""
    return generate_workload(family, ops, "fp16", np.random.default_rng([seed, ops]))


NAMED: dict[str, Callable[[], Workload]] = {
    "residual-2000": partial(named_workload, "residual", 2000, 2),
    "dense-2000": partial(named_workload, "dense", 2000, 1),
    "encoder-3000": partial(named_workload, "encoder", 3000, 2),
    "decoder-3000": partial(named_workload, "decoder", 3000, 2),
    "branchy-4000": partial(named_workload, "branchy", 4000, 2),
    "depthwise-4000": partial(named_workload, "depthwise", 4000, 4),
    "decoder-cache-5000": partial(named_workload, "decoder_cache", 5000, 1),
    "detector-6000": partial(named_workload, "detector", 6000, 1),
    "recurrent-8000": partial(named_workload, "recurrent", 8000, 2),
    "unet-10000": partial(named_workload, "unet", 10000, 1),
}
"""By name; its number is about how many ops there are."""
