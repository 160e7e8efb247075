"""The document of `egrl bench placement`."""

import msgspec

from egrl.bench.options import BenchOptions

REFERENCES = ("all-outermost", "native", "acts-first", "greedy")


class Row(msgspec.Struct, frozen=True):
    """One model on one target; latencies in seconds.

    Attributes:
        model: of the development set.
        target: accelerator.
        ops: placement ops.
        tensors: of the workload.
        latency_s: by placer, and `ideal`.
        seconds: wall time by placer.
        bound_s: best bound proven within the stated time.
        long_bound_s: best bound proven at all.
        best_known_s: best latency that anything found.
        long_seconds: of the extra search, 0 where none was needed.
    """

    model: str
    target: str
    ops: int
    tensors: int
    latency_s: dict[str, float]
    seconds: dict[str, float]
    bound_s: float
    long_bound_s: float
    best_known_s: float
    long_seconds: float

    @property
    def gap(self) -> float:
        """Of `auto` to the bound."""
        return self.latency_s["auto"] / self.bound_s - 1

    @property
    def gap_to_best(self) -> float:
        """Of `auto` to the best known."""
        return self.latency_s["auto"] / self.best_known_s - 1

    @property
    def auto_seconds(self) -> float:
        """Wall time of `auto`."""
        return self.seconds["auto"]

    @property
    def best_reference_s(self) -> float:
        """Best of the stated references."""
        return min(self.latency_s[name] for name in REFERENCES if name in self.latency_s)

    @property
    def closed(self) -> float | None:
        """Share of the gap between best reference and bound that `auto` closed."""
        open_s = self.best_reference_s - self.bound_s
        if open_s <= 0.02 * self.bound_s:
            return None
        return (self.best_reference_s - self.latency_s["auto"]) / open_s


def document(rows: list[Row], machine: str, options: BenchOptions) -> str:
    """The Markdown of the whole benchmark."""
    within_1 = sum(row.gap_to_best <= 0.01 for row in rows)
    within_5 = sum(row.gap <= 0.05 for row in rows)
    lines = [
        "# Placement: every model, every target, every placer",
        "",
        "Written by `egrl bench placement` (after `scripts/models`); measurements in "
        "`placement.json`.",
        "",
        f"Machine: {machine}. Searches: 4,000 evaluations, seed 0. `exact` and `auto`: at most "
        f"{options.seconds:.0f} s each. {_longer(rows)}",
        "",
        "Latencies in microseconds per inference, batch 1, in the target's default type. "
        "*bound*: proven, no placement is faster. *gap*: `auto` over bound. *to best*: `auto` over "
        "the best that anything found. *closed*: share of the gap between the best reference "
        "(`all-outermost`, `native`, `acts-first`, `greedy`) and the bound that `auto` closed; a "
        "dash where that gap is under 2 %: placement does not matter there. *s*: seconds of "
        "`auto`.",
        "",
        f"`auto` is within 1 % of the best known in {within_1} of {len(rows)} rows, and proven "
        f"within 5 % in {within_5} of {len(rows)}.",
    ]
    for target in dict.fromkeys(row.target for row in rows):
        lines += ["", f"## {target}", ""]
        lines += _table([row for row in rows if row.target == target])
    lines += ["", *_short(rows)]
    return "\n".join(lines) + "\n"


def _longer(rows: list[Row]) -> str:
    """What was done where `auto` was not proven within 1 %."""
    longer = [row for row in rows if row.long_seconds > 0]
    if not longer:
        return "`auto` is proven within 1 % everywhere, so nothing can be more than 1 % better."
    named = ", ".join(f"{row.model} on {row.target} ({row.long_seconds:.0f} s)" for row in longer)
    return (
        "Where `auto` is proven within 1 %, nothing can be more than 1 % better; elsewhere a "
        f"longer search with another seed looked for better: {named}."
    )


def _table(rows: list[Row]) -> list[str]:
    placers = list(dict.fromkeys(name for row in rows for name in row.latency_s))
    header = ["model", "ops", *placers, "bound", "gap", "to best", "closed", "s"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        cells = [row.model, str(row.ops)]
        cells += [
            f"{row.latency_s[name] * 1e6:.1f}" if name in row.latency_s else "-" for name in placers
        ]
        closed = "-" if row.closed is None else f"{100 * row.closed:.0f} %"
        cells += [
            f"{row.bound_s * 1e6:.1f}",
            f"{100 * row.gap:.2f} %",
            f"{100 * row.gap_to_best:.2f} %",
            closed,
            f"{row.auto_seconds:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _short(rows: list[Row]) -> list[str]:
    """The rows that miss a goal, with what is known of why."""
    missed = [row for row in rows if row.gap > 0.05 or row.gap_to_best > 0.01]
    lines = ["## Where the goals were missed", ""]
    if not missed:
        return [*lines, "Nowhere."]
    lines += [
        "The program prices fractions of a weight: half of it resident, half streamed behind the "
        "op's own arithmetic. A real weight is one or the other, and where streaming is the "
        "bottleneck the difference is what branching has to close, layer by layer of a network "
        "whose layers are all alike. The bound after the longer run tells how much of a gap is "
        "the bound's.",
        "",
    ]
    for row in missed:
        lines.append(
            f"- {row.model} on {row.target}: gap {100 * row.gap:.2f} %, to best "
            f"{100 * row.gap_to_best:.2f} %; after {row.long_seconds:.0f} s: best "
            f"{row.best_known_s * 1e6:.1f}, bound {row.long_bound_s * 1e6:.1f}."
        )
    return lines
