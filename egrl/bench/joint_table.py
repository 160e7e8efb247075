"""The document of `egrl bench joint`."""

from collections.abc import Sequence

import msgspec
import numpy as np

from accelerator_sim.units import bytes_text, seconds_text
from egrl.bench.joint_generated import EFFORT, GeneratedRow
from egrl.compression.joint.goal import AutoOptions


class Found(msgspec.Struct, frozen=True):
    """What a search found.

    Attributes:
        latency_s: of precisions and placement chosen together.
        error: measured.
        weight_bytes: of the weights.
        chosen: products by precision.
        seconds: wall time of the search.
    """

    latency_s: float
    error: float
    weight_bytes: int
    chosen: dict[str, int]
    seconds: float


class JointRow(msgspec.Struct, frozen=True):
    """One model on one target against one reference.

    Attributes:
        model: name.
        target: name.
        reference: what is compressed uniformly.
        execution_type: of floats.
        products: whose precision is chosen, convolutions among them.
        convolutions: of these.
        plain_s: latency without compression.
        error: of the reference, measured; the bound of the joint searches.
        uniform_s: latency of the reference, placed.
        uniform_bytes: of its weights.
        search: the program where it is small, then keys at random.
        agent: the precision head and the policy.
        seconds: wall time of all three.
        failed: always empty.
    """

    model: str
    target: str
    reference: str
    execution_type: str
    products: int
    convolutions: int
    plain_s: float
    error: float
    uniform_s: float
    uniform_bytes: int
    search: Found
    agent: Found
    seconds: float
    failed: str = ""

    @property
    def key(self) -> str:
        """See `row_file.Measured`."""
        return f"{self.model} {self.target} {self.reference}"

    def speedup(self, found: Found) -> float:
        """Latency of the reference over that of a search."""
        return self.uniform_s / found.latency_s


HEAD = """\
# Precision chosen with the placement

`egrl bench joint` writes this document. For every model and target it compresses everything alike
and places what comes out: `int4` has weights of 4 bits in groups of 32 and activations of floats
(convolutions stay as they are: there is no such form of them), `int8` weights of 8 bits with a
scale per output channel and activations of bytes, convolutions too. Both are rounded to nearest.
The error of the outputs that this measures, on the model's own inputs, is the bound that `auto` is
given: it chooses the precision of each product and convolution (kept, 8 or 4 bits, each with
activations of floats or of bytes) together with the homes of all tensors. Its own error is measured
as well, on the compressed model. Latencies are the simulator's; all placements end with the same
number of evaluations. Embeddings stay as they are.

`search` is `--placer auto`: the mixed-integer program where it is small, then keys at random.
`agent` is `--placer egrl`: the precision head proposes, the policy places. Both begin with the
reference, so neither can be slower; they have the same rounds and evaluations, and each knows the
errors of uniform precisions and of what itself measured.

What is kept is stored in the execution type. On a target that executes in int8 what is kept has 8
bits already and its rounding is not counted as an error here, so `int8` beside it is a reference
that nobody would choose; `int4` is the one to look at there.
"""


def document(
    rows: Sequence[JointRow],
    generated: Sequence[GeneratedRow],
    machine: str,
    options: AutoOptions,
    seed: int,
) -> str:
    """The whole document."""
    lines = [HEAD, f"Measured on {machine}.", ""]
    lines += [
        f"Searches: {options.nodes} nodes of the program, {options.rounds} rounds of "
        f"{options.evaluations} evaluations, at most {options.repairs} repairs, seed {seed}.",
        "",
    ]
    if rows:
        lines += [*_goal(rows), "", *_table(rows)]
    else:
        lines.append("No rows yet.")
    if generated:
        lines += ["", *_generated(generated)]
    return "\n".join(lines) + "\n"


def _goal(rows: Sequence[JointRow]) -> list[str]:
    models, targets = {row.model for row in rows}, {row.target for row in rows}
    slower = [row.key for row in rows if row.speedup(row.search) < 1 or row.speedup(row.agent) < 1]
    over = [row.key for row in rows if row.search.error > row.error or row.agent.error > row.error]
    enough = len(models) >= 5 and len(targets) >= 3
    met = "met" if enough and not slower and not over else "short"
    lines = [
        "Goal: never slower than compressing uniformly and then placing, at no more error, on at "
        f"least five models and three accelerators: **{met}** ({len(rows)} rows, {len(models)} "
        f"models, {len(targets)} targets; slower in {len(slower)}, above the error in {len(over)}"
        f"{': ' + ', '.join([*slower, *over]) if slower or over else ''}).",
        "",
    ]
    for name in ("search", "agent"):
        speedups = np.array([row.speedup(getattr(row, name)) for row in rows])
        lines.append(
            f"- `{name}`: faster than uniform by the geometric mean "
            f"{_times(float(np.exp(np.log(speedups).mean())))}, median "
            f"{_times(float(np.median(speedups)))}, largest {_times(float(speedups.max()))}; "
            f"by more than 1 % in {int((speedups > 1.01).sum())} of {len(rows)} rows."
        )
    ratio = np.array([row.search.latency_s / row.agent.latency_s for row in rows])
    lines.append(
        f"- `agent` against `search`: faster in {int((ratio > 1 + 1e-6).sum())} rows, slower in "
        f"{int((ratio < 1 - 1e-6).sum())}, geometric mean "
        f"{_times(float(np.exp(np.log(ratio).mean())))}."
    )
    return lines


def _table(rows: Sequence[JointRow]) -> list[str]:
    lines = [
        "| model | target | reference | plain | uniform | search | agent | faster: search, agent "
        "| error | search's, agent's error | bytes | search's, agent's bytes | search chose "
        "| agent chose |",
        "|" + "---|" * 14,
    ]
    for row in rows:
        both = (row.search, row.agent)
        lines.append(
            f"| {row.model} | {row.target} ({row.execution_type}) | {row.reference} "
            f"| {seconds_text(row.plain_s)} | {seconds_text(row.uniform_s)} "
            f"| {seconds_text(row.search.latency_s)} | {seconds_text(row.agent.latency_s)} "
            f"| {', '.join(_times(row.speedup(found)) for found in both)} | {row.error:.3g} "
            f"| {', '.join(f'{found.error:.3g}' for found in both)} "
            f"| {bytes_text(row.uniform_bytes)} "
            f"| {', '.join(bytes_text(found.weight_bytes) for found in both)} "
            f"| {' | '.join(_chosen(found) for found in both)} |"
        )
    return lines


def _generated(rows: Sequence[GeneratedRow]) -> list[str]:
    lines = [
        "## What learning adds",
        "",
        f"{len(rows)} generated problems that the head never saw, errors drawn; "
        f"{EFFORT.rounds} rounds of {EFFORT.evaluations} evaluations for each search, no program, "
        "the same placer for all, so that they differ only in who proposes. Latency over that of "
        "the model kept as it is, geometric mean:",
        "",
        "| | latency | best of the three searches, ties included |",
        "|---|---|---|",
    ]
    best = np.array([min(row.drawn_s, row.untrained_s, row.trained_s) for row in rows])
    kept = np.array([row.kept_s for row in rows])
    for name, field in (
        ("fastest single precision within the bound", "uniform_s"),
        ("keys at random", "drawn_s"),
        ("agent, head untrained", "untrained_s"),
        ("agent, head trained", "trained_s"),
    ):
        found = np.array([getattr(row, field) for row in rows])
        mean = float(np.exp(np.log(found / kept).mean()))
        wins = "" if field == "uniform_s" else f"{int((found <= best * (1 + 1e-6)).sum())}"
        lines.append(f"| {name} | {mean:.4f} | {wins} |")
    return lines


def _chosen(found: Found) -> str:
    return ", ".join(f"{count} {name}" for name, count in found.chosen.items())


def _times(factor: float) -> str:
    return f"{factor:.3f}x"
