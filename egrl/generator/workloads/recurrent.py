"""Unrolled recurrent networks: every step of a layer reads the same weights."""

import numpy as np

from egrl.generator.draws import chance, log_uniform, pick, rounded
from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.ops.products import matmul
from egrl.generator.ops.vectors import elementwise

_CELL_OPS = 4
# Gates of a cell; operations per hidden unit in the two ops after its matrix products.
_CELLS: dict[str, tuple[int, int, int]] = {"lstm": (4, 15, 5), "gru": (3, 12, 6)}


def recurrent(builder: WorkloadBuilder, ops: int, rng: np.random.Generator) -> list[Value]:
    """About `ops` ops: steps of one to four layers, then a linear layer."""
    layers = pick(rng, (1, 2, 2, 3, 4))
    steps = max(1, round((ops - 1) / (_CELL_OPS * layers)))
    cell = pick(rng, tuple(_CELLS))
    gates, first, second = _CELLS[cell]
    width = rounded(log_uniform(rng, 64, 1536))
    inputs = rounded(log_uniform(rng, 32, 512))
    batch = pick(rng, (1, 1, 1, 4, 16))
    weights = [
        (
            builder.weight(f"layer{layer}.input", (width if layer else inputs, gates * width)),
            builder.weight(f"layer{layer}.hidden", (width, gates * width)),
        )
        for layer in range(layers)
    ]
    every_step = chance(rng, 0.3)
    hidden: list[Value | None] = [None] * layers
    cells: list[Value | None] = [None] * layers
    results: list[Value] = []
    for step in range(steps):
        x = builder.input(f"input{step}", (batch, inputs))
        for layer, (left, right) in enumerate(weights):
            name = f"step{step}.layer{layer}"
            known, inner = hidden[layer], cells[layer]
            if known is None:
                known = builder.input(f"hidden{layer}", (batch, width))
            if inner is None:
                inner = builder.input(f"cell{layer}", (batch, width))
            given = matmul(builder, f"{name}.input", x, gates * width, weight=left, bias=False)
            both = matmul(
                builder, f"{name}.hidden", known, gates * width, weight=right, bias=False,
                combined=(given,),
            )  # fmt: skip
            inner = elementwise(builder, f"{name}.cell", [both, inner], (batch, width), first)
            x = elementwise(builder, f"{name}.out", [both, inner], (batch, width), second)
            hidden[layer], cells[layer] = x, inner
        if every_step:
            results.append(x)
    results.append(matmul(builder, "head", x, pick(rng, (2, 32, 128, 1024))))
    return results
