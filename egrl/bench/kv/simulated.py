"""Tokens a second on a simulated accelerator: int4 weights, caches full, narrow and pruned.

Of every method and context the graph of one token is lowered and placed anew; nothing is executed.
Caches that are small enough come to lie on the chip.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.targets import load_target
from egrl.bench.kv.document_table import table
from egrl.bench.kv.picture import NAME, draw
from egrl.bench.kv.rows import Book, Row, Rows, measured
from egrl.bench.settings import Settings, processor
from egrl.compression.compress import Compression
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.spec import parse_spec
from egrl.context_report import context_rows, full_cache_bytes, lengths
from egrl.decoding_weights import DRAWN_ROWS, compress_weights
from egrl.kv.plan import plan_layout
from egrl.kv.probe import HeadProbe, probe_heads
from egrl.kv.registry import kv_method
from egrl.placement import Placed, place
from egrl.placers.base import Budget
from graph_ir.decoder.decoder import Decoder
from graph_ir.decoder.read import read_decoder
from graph_ir.errors import EgrlError, InputError
from graph_ir.kv.layout import KvLayout
from graph_ir.kv.step import step_graph
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.workload import TensorKind

PART = "simulated"
MODEL = "smollm2"
TARGET = "nnp-i"
WEIGHTS = "int4:rtn"
PLACER = "auto"
EVALUATIONS = 400
CONTEXTS = (2048, 4096, 8192, 32768)
BUILT_FOR = 8192
"""Positions that the model was built for; beyond them only shapes mean something."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row: its name, and the method as after `--compress`."""

    name: str
    spec: str


REFERENCE = "full"
CASES = (
    Case(REFERENCE, "kv,bits=16"),
    Case("full, int4", "kv,bits=4"),
    Case("fitted, 30 %", "fitted,kv-budget=0.3,bits=16"),
    Case("razor, 30 %", "razor,kv-budget=0.3,bits=16"),
    Case("streaming, 10 %", "streaming,kv-budget=0.1,bits=16"),
    Case("fitted, 10 %, int4", "fitted,kv-budget=0.1,bits=4"),
)


def measure(settings: Settings, book: Book) -> None:
    """Place and simulate the rows that are missing or failed, one after the other.

    Raises:
        InputError: a context or method that there is not.
    """
    for flag, asked, expected in (
        ("--model", settings.models, [str(context) for context in CONTEXTS]),
        ("--method", settings.methods, [case.name for case in CASES]),
    ):
        strange = [name for name in asked if name not in expected]
        if strange:
            raise InputError(f"{flag} {strange[0]}: expected one of {', '.join(expected)}")
    known = book.rows()
    tasks = [
        (context, case)
        for context in CONTEXTS
        if settings.wants_model(str(context))
        for case in CASES
        if settings.wants_method(case.name)
        and (settings.again or measured(known, PART, str(context), case.name) is None)
    ]
    print(f"{len(tasks)} simulated rows to measure", flush=True)
    if not tasks:
        return
    runner = OnnxRuntimeRunner()
    source = read_decoder(settings.folder / f"{MODEL}.onnx", runner)
    probe = probe_heads(source, runner)
    decoder, _ = compress_weights(source, Compression((WEIGHTS,)), DRAWN_ROWS)
    for context, case in tasks:
        row = measure_case(decoder, probe, context, case)
        book.add(row)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in row.metrics.items())
        print(f"{row.key}: {row.failed or shown} ({row.seconds:.0f} s of CPU)", flush=True)


def measure_case(decoder: Decoder, probe: HeadProbe, context: int, case: Case) -> Row:
    """One row; one with the reason where the method fails."""
    began = time.process_time()
    try:
        method, resolved = kv_method(parse_spec(case.spec))
        layout = plan_layout(method, decoder, context, OnnxRuntimeRunner(), probe)
        metrics, samples = simulate_layout(decoder, layout, context == BUILT_FOR)
    except EgrlError as error:
        reason = " ".join(str(error).split())[:300]
        return Row(PART, str(context), case.name, failed=reason, machine=processor())
    return Row(
        PART,
        str(context),
        case.name,
        metrics,
        samples,
        ", ".join(f"{key}={value}" for key, value in resolved.items()),
        seconds=time.process_time() - began,
        machine=processor(),
    )


def simulate_layout(
    decoder: Decoder, layout: KvLayout, by_position: bool, evaluations: int = EVALUATIONS
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Metrics of the graph of one token at full caches; samples are by positions held.

    Args:
        decoder: its weights compressed.
        layout: what its caches keep.
        by_position: whether latency by positions held is wanted, too.
        evaluations: of the placer.
    """
    accelerator = load_target(TARGET)
    model = step_graph(decoder, layout, 1, "standard")
    model.graph.name = "decode"
    run_lossless(model)
    streamed = frozenset(accelerator.streamed_views)
    workload = lower(model, "decode", accelerator.default_type, streamed).workload
    problem = build_problem(workload, accelerator)
    placed = place(problem, PLACER, Budget(evaluations=evaluations), 0)
    full = full_cache_bytes(model, workload, layout.context)
    positions = lengths(layout.context) if by_position else []
    held = context_rows(model, problem, placed.homes_T, positions)
    metrics = {
        "latency_s": placed.timeline.latency_s,
        "best_reference_s": min(
            seconds for name, seconds in placed.report.references.items() if name != "ideal"
        ),
        "energy_j": placed.timeline.energy_j,
        "cache_bytes": float(workload.state_bytes),
        "share": workload.state_bytes / full,
        "weight_bytes": float(workload.weight_bytes),
        "cache_bytes_on_chip": float(on_chip_bytes(problem, placed, TensorKind.STATE)),
        "weight_bytes_on_chip": float(on_chip_bytes(problem, placed, TensorKind.WEIGHT)),
    }
    samples = {
        "positions": [float(row.context) for row in held],
        "latency_s": [row.latency_s for row in held],
    }
    return metrics, samples if held else {}


def on_chip_bytes(problem: PlacementProblem, placed: Placed, kind: TensorKind) -> int:
    """Bytes of all tensors of a kind that do not live in the outermost tier."""
    return sum(
        tensor.size_bytes
        for tensor, home in zip(problem.workload.tensors, placed.homes_T, strict=True)
        if tensor.kind is kind and problem.homes[home].tier > 0
    )


_HOW = (
    f"SmolLM2-135M with weights by `{WEIGHTS}` on `{TARGET}`: the graph of one token at full "
    f"caches, placed anew for every row by `{PLACER}` ({EVALUATIONS} evaluations) and simulated; "
    "nothing is executed. *Bytes* are of all caches as the target stores them, against caches that "
    "keep every position as fp16. What is read on the chip does not wait for DRAM, whose bandwidth "
    "bounds every row: weights alone are more than LLC and SRAM hold, and whether a byte of them "
    "or of the caches lies there is the same to a token, so that the placer mixes the two."
)
_HEADER = (
    "method", "bytes", "caches", "would fit on the chip", "are on the chip", "weights on the chip",
    "a token", "tokens/s", "times full", "energy a token",
)  # fmt: skip


def section(rows: Rows) -> list[str]:
    """Markdown."""
    lines = [_HOW, ""]
    contexts = sorted({int(row.case) for row in rows.values() if row.part == PART})
    for context in contexts:
        beyond = f" (beyond the {BUILT_FOR:,} that it was built for: shapes only)"
        lines += [f"### {context:,} positions{beyond if context > BUILT_FOR else ''}", ""]
        reference = measured(rows, PART, str(context), REFERENCE)
        cells, failed = [], []
        for case in CASES:
            row = rows.get(f"{PART}: {context}: {case.name}")
            if row is not None and row.failed:
                failed.append(f"{case.name}: {row.failed}")
            elif row is not None:
                cells.append(_cells(row, reference))
        lines += [*table(_HEADER, cells), ""]
        lines += [line for text in failed for line in (text, "")]
    lines += _curves(rows)
    return lines


def _cells(row: Row, reference: Row | None) -> list[str]:
    got = row.metrics
    mib = {name: f"{got[name] / 2**20:.1f} MiB" for name in got if "bytes" in name}
    times = "-"
    if reference is not None:
        times = f"{reference.metrics['latency_s'] / got['latency_s']:.2f}"
    return [
        row.method,
        f"{100 * got['share']:.1f} %",
        mib["cache_bytes"],
        "yes" if got["cache_bytes"] <= chip_bytes() else "no",
        f"{100 * got['cache_bytes_on_chip'] / got['cache_bytes']:.0f} %",
        mib["weight_bytes_on_chip"],
        f"{1e3 * got['latency_s']:.3f} ms",
        f"{1 / got['latency_s']:.0f}",
        times,
        f"{1e3 * got['energy_j']:.1f} mJ",
    ]


def chip_bytes() -> int:
    """What all memories but the outermost hold; of memories of cores what each of them has."""
    return sum(int(tier.capacity_bytes.value) for tier in load_target(TARGET).tiers[1:])


def _curves(rows: Rows) -> list[str]:
    """Latency by positions held, of the longest context that the model was built for."""
    context, found = BUILT_FOR, _drawn(rows)
    if not found:
        return []
    positions = found[0].samples["positions"]
    lines = [f"A token by positions held, of graphs for {context:,}:", ""]
    header = ["method", *(f"{int(held):,}" for held in positions)]
    cells = [
        [row.method, *(f"{1e3 * seconds:.3f} ms" for seconds in row.samples["latency_s"])]
        for row in found
    ]
    picture = f"![A token by positions held](kv/{NAME})"
    return [*lines, *table(header, cells), "", picture, ""]


def draw_picture(rows: Rows, folder: Path) -> None:
    """Draw what the last table says, and which caches the chip has room for."""
    draw(_drawn(rows), BUILT_FOR, chip_bytes(), folder)


def _drawn(rows: Rows) -> list[Row]:
    found = (measured(rows, PART, str(BUILT_FOR), case.name) for case in CASES)
    return [row for row in found if row is not None]
