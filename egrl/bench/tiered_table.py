"""The document of `egrl bench tiered`."""

import os
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.units import bytes_text, seconds_text
from egrl.bench.machine import machine_line
from egrl.bench.tiered_placements import Candidate
from egrl.bench.tiered_stats import agreement, repeatability, spread
from runtime.tiered.machine import Overlap

SPEARMAN_GOAL = 0.9
EXCESS_GOAL = 0.05


class Measured(msgspec.Struct, frozen=True):
    """One placement: where it came from, the engine's latency, all measured ones in each mode."""

    origin: str
    engine_s: float
    measured_s: dict[str, list[float]]


class ModeResult(msgspec.Struct, frozen=True):
    """How the engine and one mode of the machine agree; see `tiered_stats.py`."""

    spearman: float
    best_excess: float
    error: float
    bias: float
    repeatability: float
    spread: float
    fastest_s: float
    slowest_s: float


class ModelResult(msgspec.Struct, frozen=True):
    """One model."""

    model: str
    ops: int
    fast_bytes: int
    slow_bytes: int
    modes: dict[str, ModeResult]
    placements: list[Measured]
    seconds: float

    def lines(self) -> list[str]:
        """A row of the table for each mode."""
        return [
            f"| {self.model} | {mode} | {len(self.placements)} "
            f"| {seconds_text(r.fastest_s)} to {seconds_text(r.slowest_s)} | {r.spearman:.3f} "
            f"| {r.repeatability:.3f} | {100 * r.best_excess:.1f} % | {100 * r.spread:.1f} % "
            f"| {100 * r.error:.1f} % | {r.bias:.2f} |"
            for mode, r in self.modes.items()
        ]


def model_result(
    name: str,
    problem: PlacementProblem,
    found: Sequence[Candidate],
    measured_s: Mapping[Overlap, NDArray[np.float64]],
    seconds: float,
) -> ModelResult:
    """Compare the engine with the machine.

    Args:
        name: of the model.
        problem: the engine's.
        found: placements.
        measured_s: seconds [round, placement] by mode.
        seconds: that it all took.
    """
    engine_s = [candidate.latency_s for candidate in found]
    modes = {}
    for mode, measured_s_RP in measured_s.items():
        median_P = np.median(measured_s_RP, axis=0)
        fit = agreement(engine_s, median_P.tolist())
        modes[str(mode)] = ModeResult(
            spearman=fit.spearman,
            best_excess=fit.best_excess,
            error=fit.error,
            bias=fit.bias,
            repeatability=repeatability(measured_s_RP),
            spread=spread(measured_s_RP),
            fastest_s=float(median_P.min()),
            slowest_s=float(median_P.max()),
        )
    tiers = problem.accelerator.tiers
    return ModelResult(
        model=name,
        ops=problem.op_count,
        fast_bytes=int(tiers[-1].capacity_bytes.value),
        slow_bytes=int(tiers[-2].capacity_bytes.value),
        modes=modes,
        placements=[
            Measured(
                candidate.origin,
                candidate.latency_s,
                {str(m): all_s[:, at].tolist() for m, all_s in measured_s.items()},
            )
            for at, candidate in enumerate(found)
        ],
        seconds=seconds,
    )


def document(results: Sequence[ModelResult], rates: str) -> str:
    """The whole document.

    Args:
        results: at least one model.
        rates: the machine's memories, in a sentence.
    """
    lines = [
        "# The real tiered machine: does the engine rank placements right?",
        "",
        "Written by `egrl bench tiered` (after `scripts/models`). Plans are executed on this "
        f"computer with their transfers (`runtime/tiered/`): {rates} onnxruntime computes each op "
        "with one thread. The engine gets an accelerator file with these rates and, as compute, "
        "one rate per op family, from the times of the model's ops with everything in FAST.",
        "",
        "- mode `tiles`: an op computes while its bytes move, as on hardware with double-buffered "
        "tiles, and lasts as long as its slowest resource: what the engine assumes. onnxruntime "
        "cannot begin on a tile, so it reads operands where they live while the copy threads move "
        "the same bytes.",
        "- mode `whole`: an op waits for its operands, computes on the bytes that were moved, then "
        "writes its results back; only weights that the DMA fetches ahead overlap. The engine "
        "knows nothing of it: a machine that is simpler than it assumes.",
        "- *spearman*: rank correlation of the engine's latency with the measured median; goal "
        f"{SPEARMAN_GOAL}. *repeats*: that of the medians of every other round with the rest: no "
        "model can rank better than the measurement repeats.",
        "- *best*: measured latency of the placement that the engine likes best, over the least "
        f"measured one; goal {100 * EXCESS_GOAL:.0f} %. *spread*: between the quartiles of the "
        "rounds, over the median: the noise. *error*, *bias*: of the engine's latency (medians of "
        "|engine / measured - 1| and engine / measured).",
        "",
        "Every placement was executed once in each mode and round, after one execution that does "
        "not count; each round has another order.",
        "",
        f"Machine: {machine_line()}. Priority of the process: "
        f"{os.getpriority(os.PRIO_PROCESS, 0)}. Load of the machine when this was written (mean of "
        f"15 minutes, this process included): {os.getloadavg()[2]:.1f}.",
        "",
        "| model | mode | placements | measured | spearman | repeats | best | spread | error "
        "| bias |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        lines += result.lines()
    lines += ["", "| model | ops | FAST | SLOW | rounds | minutes |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {r.model} | {r.ops} | {bytes_text(r.fast_bytes)} | {bytes_text(r.slow_bytes)} "
        f"| {len(r.placements[0].measured_s['tiles'])} | {r.seconds / 60:.1f} |"
        for r in results
    ]
    missed = [
        f"{result.model} in mode {mode}"
        for result in results
        for mode, r in result.modes.items()
        if r.spearman < SPEARMAN_GOAL or r.best_excess > EXCESS_GOAL
    ]
    lines += ["", f"Short of a goal: {', '.join(missed) or 'none'}.", ""]
    lines += ["## By origin of the placements, mode `tiles`", ""]
    lines += ["| model | origin | placements | engine | measured |", "|---|---|---|---|---|"]
    for result in results:
        lines += _origin_rows(result)
    return "\n".join(lines) + "\n"


def _origin_rows(result: ModelResult) -> list[str]:
    origins = dict.fromkeys(p.origin for p in result.placements)
    rows = []
    for origin in origins:
        chosen = [p for p in result.placements if p.origin == origin]
        engine = float(np.median([p.engine_s for p in chosen]))
        measured = float(np.median([np.median(p.measured_s["tiles"]) for p in chosen]))
        rows.append(
            f"| {result.model} | {origin} | {len(chosen)} | {seconds_text(engine)} "
            f"| {seconds_text(measured)} |"
        )
    return rows
