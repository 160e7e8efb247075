"""All families by name."""

from collections.abc import Callable

import numpy as np

from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.workloads.branchy import branchy
from egrl.generator.workloads.chain import chain
from egrl.generator.workloads.decoder import decoder
from egrl.generator.workloads.decoder_cache import decoder_cache
from egrl.generator.workloads.dense import dense
from egrl.generator.workloads.depthwise import depthwise
from egrl.generator.workloads.encoder import encoder
from egrl.generator.workloads.recurrent import recurrent
from egrl.generator.workloads.residual import residual
from egrl.generator.workloads.unet import detector, unet
from graph_ir.errors import InputError
from graph_ir.workload import Workload

Family = Callable[[WorkloadBuilder, int, np.random.Generator], list[Value]]

FAMILIES: dict[str, Family] = {
    "chain": chain,
    "residual": residual,
    "depthwise": depthwise,
    "branchy": branchy,
    "dense": dense,
    "encoder": encoder,
    "decoder": decoder,
    "decoder_cache": decoder_cache,
    "unet": unet,
    "detector": detector,
    "recurrent": recurrent,
}

SMALLEST = 20
"""Ops; below that a network of some families is not one."""


def generate_workload(
    family: str, ops: int, execution_type: str, rng: np.random.Generator
) -> Workload:
    """A random network.

    Args:
        family: a key of `FAMILIES`.
        ops: how many it has, met within a block or a tenth; at least `SMALLEST`.
        execution_type: of values and arithmetic.
        rng: source of all randomness.

    Raises:
        InputError: unknown family, or too few ops.
    """
    if family not in FAMILIES:
        raise InputError(f"family {family}: unknown; expected one of {', '.join(FAMILIES)}")
    if ops < SMALLEST:
        raise InputError(f"ops: expected at least {SMALLEST}, got {ops}")
    builder = WorkloadBuilder(f"{family}-{ops}", execution_type)
    return builder.finish(FAMILIES[family](builder, ops, rng))
