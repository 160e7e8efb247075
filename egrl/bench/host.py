"""`egrl bench host`: this computer calibrated, then checked on models that took no part.

Writes `docs/validation_host.md`, its numbers beside it as JSON, and the accelerator file.
"""

from collections.abc import Sequence

import msgspec

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.units import seconds_text
from egrl.bench.machine import machine_line
from egrl.bench.model_index import read_index
from egrl.bench.options import BenchOptions
from egrl.calibration.check import (
    ERROR_GOAL,
    RANK_GOAL,
    HeldOut,
    HostRow,
    check_model,
    median_error,
    rank_correlation,
    within_goal,
)
from egrl.calibration.measure import calibrate
from egrl.calibration.toml_text import accelerator_toml
from graph_ir.errors import InputError

THREADS = 1
CALIBRATION_SECONDS = 50.0


def run(options: BenchOptions) -> None:
    """Calibrate, predict and measure, write the document.

    Raises:
        InputError: the development set is not built.
    """
    index = read_index(options.folder, options.models)
    if len(index) < 2:
        raise InputError("bench host: expected at least two models, to rank them")
    accelerator = calibrate(THREADS, lambda line: print(line, flush=True), CALIBRATION_SECONDS)
    held_out = [
        HeldOut(name, options.folder / entry.file, entry.dims, options.folder / entry.inputs)
        for name, entry in index.items()
    ]
    rows = []
    for model in held_out:
        row = check_model(model, accelerator.accelerator, THREADS, options.seconds / 30)
        rows.append(row)
        print(host_line(row), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_bytes(
        msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n"
    )
    options.out.with_name("host-cpu.toml").write_text(
        accelerator_toml(accelerator.accelerator), "utf-8"
    )
    options.out.write_text("\n".join(host_document(rows, accelerator.accelerator)) + "\n", "utf-8")


def host_line(row: HostRow) -> str:
    """A row of the table."""
    family, seconds = next(iter(row.family_s.items()))
    return (
        f"| {row.model} | {row.ops} | {row.execution_type} | {seconds_text(row.predicted_s)} "
        f"| {seconds_text(row.measured_s)} | {seconds_text(row.least_s)} "
        f"| {seconds_text(row.most_s)} | {row.runs} | {100 * row.error:+.0f} % "
        f"| {family} {100 * seconds / row.predicted_s:.0f} % |"
    )


def host_document(rows: Sequence[HostRow], accelerator: Accelerator) -> list[str]:
    """The lines of the document.

    Args:
        rows: at least two.
        accelerator: the calibrated file.
    """
    missed = [row for row in rows if abs(row.error) > ERROR_GOAL]
    rank = rank_correlation(rows)
    lines = [
        "# The host as an accelerator: predictions against this computer",
        "",
        "Written by `egrl bench host` (after `scripts/models`). `egrl calibrate` measures this "
        "computer through onnxruntime on micro-models of one op each, whose shapes come from no "
        "model of the set; the file that it writes, [host-cpu.toml](host-cpu.toml), then predicts "
        "whole models, which onnxruntime executes with all optimizations and one thread. No model "
        "below took part in the fit.",
        "",
        "Seconds are CPU time of the computing thread: what a model takes where nothing else wants "
        "the core. Caches and memory are still shared with whatever else runs; *least* and *most* "
        "show how far runs differ.",
        "",
        f"Machine: {machine_line()}.",
        "",
        f"- rank correlation over {len(rows)} models: {rank:.3f} (goal {RANK_GOAL}: "
        f"{'met' if rank >= RANK_GOAL else 'short'})",
        f"- within {100 * ERROR_GOAL:.0f} % of the measured median: {within_goal(rows)} of "
        f"{len(rows)} (goal: all; {'met' if not missed else 'short'})",
        f"- median absolute error: {100 * median_error(rows):.0f} %; worst "
        f"{100 * max(abs(row.error) for row in rows):.0f} %",
        "",
        "| model | ops | type | predicted | measured | least | most | runs | error | mostly |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(host_line(row) for row in rows),
        "",
        "## Rates",
        "",
        "| rate | value | source |",
        "|---|---|---|",
        *(f"| {name} | {value:.4g} | {source} |" for name, value, source in _rates(accelerator)),
    ]
    if missed:
        lines += [
            "",
            "## Short of the goal",
            "",
            *(f"- {row.model}: {100 * row.error:+.0f} %" for row in missed),
            "",
            *_REASONS,
        ]
    return lines


_REASONS = (
    "What the file cannot say, and so where the errors come from:",
    "",
    "- A family has one rate. `LRN` takes onnxruntime some 30 times as long as a layer "
    "normalization of as many operations; both are `normalization`, and the rate is that of the "
    "layer normalization (AlexNet, ZFNet and Inception v1 have `LRN`).",
    "- Activations are priced as elementwise ops of their own; which of them onnxruntime fuses "
    "into the product, and which it takes several passes for, the file does not know.",
    "- A recurrent op is priced as vector work, whatever its hidden size and its calls.",
    "- Weights of models larger than the cache come from memory, whose speed differs from "
    "minute to minute on a shared machine.",
)


def _rates(accelerator: Accelerator) -> list[tuple[str, float, str]]:
    array = accelerator.mac_array
    vector_rate = accelerator.vector_unit.family_rate
    assert array is not None
    quantities = {
        "clock_hz": accelerator.clock_hz,
        "launch_overhead_s": accelerator.launch_overhead_s,
        **{f"mac_array.family_rate.{k}": q for k, q in array.family_rate.items()},
        **{f"mac_array.relative_rate.{k}": q for k, q in array.relative_rate.items()},
        **{f"vector_unit.family_rate.{k}": q for k, q in vector_rate.items()},
    }
    for tier in accelerator.tiers:
        quantities[f"{tier.name}.capacity_bytes"] = tier.capacity_bytes
        quantities[f"{tier.name}.read_bytes_per_s"] = tier.read_bytes_per_s
        quantities[f"{tier.name}.write_bytes_per_s"] = tier.write_bytes_per_s
    return [(name, q.value, q.source or q.reason) for name, q in quantities.items()]
