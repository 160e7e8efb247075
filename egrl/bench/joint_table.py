"""The document of `egrl bench joint`."""

import msgspec
import numpy as np

from accelerator_sim.units import bytes_text, seconds_text
from egrl.compression.joint.goal import AutoOptions


class JointRow(msgspec.Struct, frozen=True):
    """One model on one target against one reference.

    Attributes:
        model: name.
        target: name.
        reference: what is compressed uniformly.
        execution_type: of floats.
        products: whose precision is chosen.
        plain_s: latency without compression.
        error: of the reference, measured; the bound of the joint search.
        uniform_s: latency of the reference, placed.
        uniform_bytes: of its weights.
        joint_error: measured.
        joint_s: latency of precisions and placement chosen together.
        joint_bytes: of its weights.
        chosen: products by precision.
        seconds: wall time of the reference and the joint search.
    """

    model: str
    target: str
    reference: str
    execution_type: str
    products: int
    plain_s: float
    error: float
    uniform_s: float
    uniform_bytes: int
    joint_error: float
    joint_s: float
    joint_bytes: int
    chosen: dict[str, int]
    seconds: float

    @property
    def speedup(self) -> float:
        """Latency of the reference over the joint one's."""
        return self.uniform_s / self.joint_s


HEAD = """\
# Precision chosen with the placement

`egrl bench joint` writes this document. For every model and target it compresses all products
alike (`int4`: 4 bits in groups of 32; `int8`: 8 bits in groups of 32; rounded to nearest, scales in
float16) and places what comes out. The error of the outputs that this measures, on the model's own
inputs, is the bound that `auto` is given: it chooses the precision of each product (kept, 8 or 4
bits, groups of 32 or 128) together with the homes of all tensors. Its own error is measured as
well, on the compressed model. Latencies are the simulator's; both placements end with the same
number of evaluations. Embeddings stay as they are in both.

`kept` products are stored in the execution type. On a target that executes in int8 a kept product
has 8 bits already and its rounding is not counted as an error here, so `int8` beside it is a
reference that nobody would choose; `int4` is the one to look at there.
"""


def document(rows: list[JointRow], machine: str, options: AutoOptions, seed: int) -> str:
    """The whole document."""
    lines = [HEAD, f"Measured on {machine}.", ""]
    lines += [
        f"Search: {options.nodes} nodes of the program, {options.rounds} rounds of "
        f"{options.evaluations} evaluations, at most {options.repairs} repairs, seed {seed}.",
        "",
    ]
    if not rows:
        return "\n".join([*lines, "No rows yet."]) + "\n"
    slower = [row for row in rows if row.speedup < 1]
    over = [row for row in rows if row.joint_error > row.error]
    speedups = np.array([row.speedup for row in rows])
    share = float(
        np.median([row.joint_error / row.error for row in rows if row.error > 0] or [0.0])
    )
    models, targets = {row.model for row in rows}, {row.target for row in rows}
    lines += [
        f"{len(rows)} rows, {len(models)} models on {len(targets)} targets. "
        f"Slower than the reference: {len(slower)}. Above its error: {len(over)}. "
        f"Faster by the geometric mean {_times(float(np.exp(np.log(speedups).mean())))}, "
        f"median {_times(float(np.median(speedups)))}, largest {_times(float(speedups.max()))}. "
        f"Its error, where products that compression makes no faster are kept, is {share:.0%} of "
        "the reference's at the median.",
        "",
        "| model | target | reference | plain | uniform | joint | faster | error | joint error "
        "| bytes | joint bytes | products by precision |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        chosen = ", ".join(f"{count} {name}" for name, count in row.chosen.items() if count)
        lines.append(
            f"| {row.model} | {row.target} ({row.execution_type}) | {row.reference} "
            f"| {seconds_text(row.plain_s)} | {seconds_text(row.uniform_s)} "
            f"| {seconds_text(row.joint_s)} | {_times(row.speedup)} | {row.error:.3g} "
            f"| {row.joint_error:.3g} | {bytes_text(row.uniform_bytes)} "
            f"| {bytes_text(row.joint_bytes)} | {chosen} |"
        )
    return "\n".join(lines) + "\n"


def _times(factor: float) -> str:
    return f"{factor:.3f}x"
