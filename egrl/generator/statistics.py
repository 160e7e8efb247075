"""`python -m egrl.generator.statistics`: generated workloads beside real ones, in a document.

Real models are those that `scripts/models` builds, in fp16, at the dimensions of their index.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from egrl.bench.model_index import models_folder, read_index
from egrl.cli.errors import guarded
from egrl.generator.contest import peak_buffer_bytes
from egrl.generator.draws import log_uniform
from egrl.generator.workloads.registry import FAMILIES, generate_workload
from graph_ir.load import load_model
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.workload import Role, TensorKind, Workload

DOCUMENT = Path(__file__).parents[2] / "docs" / "generator.md"
SEEDS = 40
OPS = (20, 500)

# Family to the real models that are most like it; those of none are left out.
REAL: dict[str, tuple[str, ...]] = {
    "chain": ("light-bvlc-alexnet", "light-vgg19", "light-zfnet512"),
    "residual": ("resnet50", "resnet101", "light-resnet50", "open-nsfw"),
    "depthwise": ("efficientnet-lite0", "light-shufflenet", "ppocr-cls"),
    "branchy": ("light-inception-v1", "light-inception-v2", "light-squeezenet"),
    "dense": ("light-densenet121",),
    "encoder": ("bert-base", "minilm", "minilm-contrib", "minilm-int8"),
    "decoder": ("smollm2-prefill",),
    "decoder_cache": ("smollm2-decode",),
    "detector": ("ppocr-det",),
}

Statistic = Callable[[Workload], float]


def _median_kib(workload: Workload, kinds: Sequence[TensorKind], least: int = 0) -> float:
    sizes = [t.size_bytes for t in workload.tensors if t.kind in kinds and t.size_bytes >= least]
    return float(np.median(sizes)) / 1024 if sizes else 0.0


def _factors_kib(workload: Workload) -> float:
    """Weights that are factors of products; biases and scales would hide them."""
    factors = {
        o.tensor for op in workload.ops for o in op.operands
        if o.role is Role.RIGHT and workload.tensors[o.tensor].kind is TensorKind.WEIGHT
    }  # fmt: skip
    return float(np.median([workload.tensors[t].size_bytes for t in sorted(factors)])) / 1024


def _macs_per_byte(workload: Workload) -> float:
    moved = sum(o.traffic_bytes for op in workload.ops for o in op.operands)
    return workload.macs / moved


def _lifetimes(workload: Workload) -> list[int]:
    return [t.end - t.start for t in workload.tensors if t.kind is TensorKind.ACTIVATION]


def _readers(workload: Workload) -> float:
    """Mean reading ops of an activation."""
    counts: dict[int, int] = {}
    for op in workload.ops:
        for tensor in {o.tensor for o in op.operands if not o.is_write}:
            if workload.tensors[tensor].kind is TensorKind.ACTIVATION:
                counts[tensor] = counts.get(tensor, 0) + 1
    return float(np.mean(sorted(counts.values())))


STATISTICS: dict[str, Statistic] = {
    "ops": lambda w: float(len(w.ops)),
    "tensors / op": lambda w: len(w.tensors) / len(w.ops),
    "weights MiB": lambda w: w.weight_bytes / 2**20,
    "factor KiB": _factors_kib,
    "activation KiB": lambda w: _median_kib(w, (TensorKind.ACTIVATION,)),
    "peak MiB": lambda w: peak_buffer_bytes(w) / 2**20,
    "MAC / byte": _macs_per_byte,
    "vector / MAC": lambda w: sum(op.vector_ops for op in w.ops) / max(1, w.macs),
    "readers": _readers,
    "lifetime": lambda w: float(np.mean(_lifetimes(w))),
    "longest": lambda w: max(_lifetimes(w)) / len(w.ops),
}

_TEXT = """# Generated problems

Written by `python -m egrl.generator.statistics` (after `scripts/models`).

`egrl/generator` draws placement problems: a workload of one of the families below, with the \
fields that lowering gives to real models (tests compare them field by field), on an accelerator \
drawn around a published one. Half of the problems are as drawn; in the other half all memories \
but the outermost are scaled so that the innermost holds 2 % to 120 % of the weights and the peak \
of the other tensors. Where neither the outermost memory nor one sort loses 2 % of the latency of \
unlimited memories, the problem is drawn again.

Families: {families}. Archetypes of accelerators: the targets with at least two tiers. \
`egrl/generator/named.py` has large graphs with names.

## Beside real models

{seeds} workloads of each family ({ops} ops, log-uniform, fp16): the median, and in brackets the \
10 % and 90 % quantiles; below it the real models of that kind: the median, and the least and the \
most where there are several.

*factor*: median bytes of weights that are factors of products. *activation*: median. *peak*: most \
bytes of all but weights at any op. *MAC / byte*: of all that ops read and write. *readers*: ops \
that read an activation, mean. *lifetime*: ops that an activation lives, mean. *longest*: the \
longest lifetime as a share of all ops.

"""


def main(arguments: Sequence[str]) -> int:
    """Write the document; returns an exit code.

    Raises:
        InputError: the development models are not built.
    """
    parser = argparse.ArgumentParser(prog="python -m egrl.generator.statistics")
    parser.add_argument("--models", type=Path, default=models_folder(), help="built models")
    parser.add_argument("-o", "--out", type=Path, default=DOCUMENT, help="file to write")
    options = parser.parse_args(arguments)
    options.out.write_text(document(options.models), "utf-8")
    print(options.out)
    return 0


def document(models: Path) -> str:
    """The text: one row of generated and one of real workloads for each family."""
    lines = [
        "| family | " + " | ".join(STATISTICS) + " |",
        "|---" * (1 + len(STATISTICS)) + "|",
    ]
    for family in FAMILIES:
        lines.append(_row(f"**{family}**", [_generated(family, s) for s in range(SEEDS)], 10))
        if family in REAL:
            names = REAL[family]
            lines.append(_row(", ".join(names), [_real(models, name) for name in names], 0))
    head = _TEXT.format(
        families=", ".join(f"`{family}`" for family in FAMILIES),
        seeds=SEEDS,
        ops=f"{OPS[0]} to {OPS[1]}",
    )
    return head + "\n".join(lines) + "\n"


def _row(label: str, workloads: Sequence[Workload], tail: int) -> str:
    cells = [label]
    for statistic in STATISTICS.values():
        values = [statistic(workload) for workload in workloads]
        middle = _short(float(np.median(values)))
        low, high = np.percentile(values, [tail, 100 - tail])
        cells.append(middle if len(values) == 1 else f"{middle} ({_short(low)} to {_short(high)})")
    return "| " + " | ".join(cells) + " |"


def _short(value: float) -> str:
    """Two significant digits."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _generated(family: str, seed: int) -> Workload:
    rng = np.random.default_rng(seed)
    return generate_workload(family, round(log_uniform(rng, *OPS)), "fp16", rng)


def _real(folder: Path, name: str) -> Workload:
    entry = read_index(folder, [name])[name]
    model = load_model(folder / entry.file, entry.dims)
    run_lossless(model.graph_model)
    return lower(model).workload


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
