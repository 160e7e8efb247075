"""Large generated workloads with a name, fixed by their seed, for benchmarks and tests."""

from collections.abc import Callable
from functools import partial

import numpy as np

from egrl.generator.workloads.registry import generate_workload
from graph_ir.workload import Workload


def _named(family: str, ops: int, execution_type: str, seed: int) -> Workload:
    return generate_workload(family, ops, execution_type, np.random.default_rng([seed, ops]))


NAMED: dict[str, Callable[[], Workload]] = {
    "residual-2000": partial(_named, "residual", 2000, "fp16", 1),
    "dense-2000": partial(_named, "dense", 2000, "fp16", 1),
    "encoder-3000": partial(_named, "encoder", 3000, "fp16", 1),
    "decoder-3000": partial(_named, "decoder", 3000, "fp16", 1),
    "branchy-4000": partial(_named, "branchy", 4000, "fp16", 1),
    "depthwise-4000": partial(_named, "depthwise", 4000, "fp16", 1),
    "decoder-cache-5000": partial(_named, "decoder_cache", 5000, "fp16", 1),
    "detector-6000": partial(_named, "detector", 6000, "fp16", 1),
    "recurrent-8000": partial(_named, "recurrent", 8000, "fp16", 1),
    "unet-10000": partial(_named, "unet", 10000, "fp16", 1),
}
"""By name; the name's number is about how many ops there are."""
