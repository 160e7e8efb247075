"""The document of `egrl bench ranking`."""

import msgspec

LEAST_CORRELATION = 0.9
MOST_REGRET = 0.05


# Why pairs fall short, by target, as far as it is known.
REASONS: dict[str, str] = {
    "ethos-u65-512": "The DMA writes streamed weights into the ring in SRAM, whose one port the "
    "unit then reads them through; the detailed model charges both to that port, as the "
    "accelerator file says (`ports` is `shared`), and the engine only the reading. What is placed "
    "in SRAM beside the ring therefore costs in one and not in the other. All placements lie "
    "within a few percent here.",
}


class RankingRow(msgspec.Struct, frozen=True):
    """One model on one target.

    Attributes:
        model: of the development set.
        target: accelerator.
        ops: placement ops.
        placements: judged.
        rank_correlation: Spearman's, of all.
        best_quarter: Spearman's, of the quarter that the detailed model holds for the best.
        regret: detailed latency of the engine's best over the least detailed latency, less 1.
        spread: slowest over fastest, by the detailed model.
        spread_of_quarter: the same within the best quarter.
        engine_best_s: least engine latency.
        detailed_best_s: least detailed latency.
        best_origin: where the detailed model's best placement came from.
        ratio_median: detailed over engine latency.
        ratio_least: likewise.
        ratio_most: likewise.
        simulation_s: CPU seconds of one detailed simulation, median.
    """

    model: str
    target: str
    ops: int
    placements: int
    rank_correlation: float
    best_quarter: float
    regret: float
    spread: float
    spread_of_quarter: float
    engine_best_s: float
    detailed_best_s: float
    best_origin: str
    ratio_median: float
    ratio_least: float
    ratio_most: float
    simulation_s: float

    @property
    def reached(self) -> bool:
        """Whether both goals are."""
        return self.rank_correlation >= LEAST_CORRELATION and self.regret <= MOST_REGRET


def document(
    rows: list[RankingRow], machine: str, placements: int, seed: int, evaluations: int
) -> str:
    """Markdown."""
    reached = sum(row.reached for row in rows)
    lines = [
        "# Does the engine rank placements right?",
        "",
        "Written by `egrl bench ranking`. The detailed model (`accelerator_sim/detailed/`) "
        "simulates tiles, bursts, banks, queues and DMA descriptors as discrete events, and shares "
        "nothing with the engine but the accelerator file and the workload. Both judge the same "
        f"{placements} placements of a model (seed {seed}): references, random ones, points on "
        "the way of descents from random starts, the best of `anneal` after "
        f"{evaluations:,} evaluations, and that best with tensors moved at random.",
        "",
        f"Machine: {machine}.",
        "",
        f"Goals: rank correlation (Spearman) of at least {LEAST_CORRELATION}, and the "
        f"engine's best at most {100 * MOST_REGRET:.0f} % above the detailed model's best. "
        f"{reached} of {len(rows)} pairs reach both.",
        "",
        "## Order",
        "",
        "`spread` is the slowest placement over the fastest, by the detailed model. Within the "
        "best quarter of the placements the spread is what is left to get wrong: a low correlation "
        "over a spread of a few percent costs nothing.",
        "",
        "| model | target | placements | rank correlation | engine's best | spread "
        "| of best quarter | its spread | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.model} | {row.target} | {row.placements} | {row.rank_correlation:.3f} "
        f"| +{100 * row.regret:.1f} % | {row.spread:.2f} | {row.best_quarter:.2f} "
        f"| {row.spread_of_quarter:.3f} | {'' if row.reached else 'short'} |"
        for row in rows
    ]
    short = dict.fromkeys(row.target for row in rows if not row.reached)
    lines += [f"\nShort on {name}: {REASONS[name]}" for name in short if name in REASONS]
    lines += [
        "",
        "## Latency",
        "",
        "Detailed over engine latency, over all placements; CPU time of one simulation, whose "
        "programs are kept from placement to placement.",
        "",
        "| model | target | ops | engine's least | detailed least | found by "
        "| ratio | least | most | ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.model} | {row.target} | {row.ops} | {1e6 * row.engine_best_s:,.1f} us "
        f"| {1e6 * row.detailed_best_s:,.1f} us | {row.best_origin} | {row.ratio_median:.2f} "
        f"| {row.ratio_least:.2f} | {row.ratio_most:.2f} | {1e3 * row.simulation_s:.1f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"
