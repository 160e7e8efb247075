"""Which goals are met: computed from the rows, never written by hand."""

from collections.abc import Sequence
from dataclasses import dataclass

from egrl.bench.agent.cases import PAPER_CASES
from egrl.bench.agent.clocked_table import TIME_NAMES, open_names, open_times
from egrl.bench.agent.equal_time import TIMES_S
from egrl.bench.agent.methods import (
    ABLATIONS,
    CONTROLS,
    METHODS,
    OURS,
    PAPER,
    PORTFOLIO,
    VARIANTS,
    is_seedless,
    of_part,
)
from egrl.bench.agent.protocol import EVALUATIONS
from egrl.bench.agent.protocol_table import NAMES as PROTOCOL_NAMES
from egrl.bench.agent.real_table import real_goal
from egrl.bench.agent.rows import Rows
from egrl.bench.agent.scores import Scores, scores_of
from egrl.bench.agent.settings import PARTS
from egrl.bench.agent.statistics import Interval, interval, mean
from egrl.bench.agent.text import interval_text, seconds_name
from egrl.bench.agent.unknown import COUNTS
from egrl.bench.agent.unknown_table import GROUPS, names_of

LEAST_SEEDS = 3
"""An interval over fewer seeds would look sure of what it cannot know."""


@dataclass(frozen=True, slots=True)
class Duel:
    """One method against another on the problems that both have runs on.

    Attributes:
        other: name of the other.
        problems: on which both have runs.
        ours: pooled gap.
        theirs: pooled gap.
    """

    other: str
    problems: int
    ours: Interval
    theirs: Interval

    @property
    def wins(self) -> bool:
        """Whether the intervals do not overlap and ours is the lower."""
        return self.ours.below(self.theirs)

    @property
    def loses(self) -> bool:
        """Whether the intervals do not overlap and ours is the higher."""
        return self.theirs.below(self.ours)

    @property
    def word(self) -> str:
        """Of what it says."""
        if self.wins:
            return "ahead of"
        return "behind" if self.loses else "level with"

    @property
    def text(self) -> str:
        """For the document."""
        return (
            f"{self.word} `{self.other}`: {interval_text(self.ours)} against "
            f"{interval_text(self.theirs)} % on {self.problems} problems"
        )


def duel(scores: Scores, names: Sequence[str], ours: str, other: str, at: float) -> Duel | None:
    """Ours against another at a point; None where they share no problem."""
    common = [
        name
        for name in names
        if all(len(scores.of(name, m, at)) >= _least(m, scores.part) for m in (ours, other))
    ]
    one, two = scores.pooled(common, ours, at), scores.pooled(common, other, at)
    if one is None or two is None:
        return None
    return Duel(other, len(common), one, two)


def _least(method: str, part: str) -> int:
    """Runs on a problem below which a method takes no part in verdicts."""
    return 1 if method in METHODS and is_seedless(method, part) else LEAST_SEEDS


def hardest(scores: Scores, names: Sequence[str], others: Sequence[str], at: float) -> Duel | None:
    """Ours against the other that does best against it: least wins, then lowest gap."""
    duels = [
        found for other in others if (found := duel(scores, names, OURS, other, at)) is not None
    ]
    return min(
        duels,
        key=lambda d: (d.theirs.mid - d.ours.mid if d.theirs.mid < float("inf") else 1e9, d.other),
        default=None,
    )


def section(rows: Rows) -> list[str]:
    """Markdown."""
    return [
        "## Goals",
        "",
        "Computed from the rows. *Ahead* and *behind*: 95 % intervals do not overlap; *level*: "
        "they do. Each line names the competitor that did best, and counts only problems on which "
        f"both have runs with at least {LEAST_SEEDS} seeds (one of a method without seeds).",
        "",
        *_win_unknown(rows),
        *real_goal(rows),
        *_win_open(rows),
        *_tie_protocol(rows),
        *_tie_time(rows),
        *_paper(rows),
        "",
        "### What learning adds",
        "",
        *_controls(rows),
        "",
    ]


def competitors(scores: Scores, part: str) -> list[str]:
    """All methods of a part but ours, its controls, its variants and what contains it."""
    for known in ("protocol", "time", "unknown", "open"):
        if known == part:
            own = [OURS, *CONTROLS, *VARIANTS]
            if known != "unknown":  # There it runs the solver on the model, and measures nothing.
                own.append(PORTFOLIO)
            return [name for name in of_part(known, []) if name not in own]
    raise ValueError(part)


def _verdict(goal: str, points: Sequence[tuple[str, Duel | None]], must_win: bool) -> list[str]:
    """A goal with a line for each point at which methods are compared."""
    duels = [found for _, found in points if found is not None]
    if not duels:
        return [f"- {goal}: **not measured**: too few runs of `{OURS}`."]
    good = all(found.wins if must_win else not found.loses for found in duels)
    word = "met" if good and len(duels) == len(points) else "short"
    if good and len(duels) < len(points):
        word = "not fully measured"
    lines = [f"- {goal}: **{word}**."]
    for name, found in points:
        lines.append(f"    - {name}: {'no rows' if found is None else found.text}.")
    return lines


def _win_unknown(rows: Rows) -> list[str]:
    scores = scores_of(rows, "unknown")
    others = competitors(scores, "unknown")
    points = [
        (f"{group}, {count:,} measurements", hardest(scores, names_of(truths), others, count))
        for group, truths in GROUPS.items()
        for count in COUNTS
    ]
    return _verdict("Win on the unknown machine (experiment 3)", points, True)


def _win_open(rows: Rows) -> list[str]:
    scores = scores_of(rows, "open")
    others = competitors(scores, "open")
    points = [
        (seconds_name(time_s), hardest(scores, open_names(rows), others, time_s))
        for time_s in open_times(rows)
    ]
    return [
        *_verdict("Win on problems that the solver leaves open (experiment 4)", points, True),
        *_beside_portfolio(scores, open_names(rows), open_times(rows)),
    ]


def _tie_protocol(rows: Rows) -> list[str]:
    scores = scores_of(rows, "protocol")
    others = competitors(scores, "protocol")
    points = [
        (f"{EVALUATIONS:,} evaluations", hardest(scores, PROTOCOL_NAMES, others, EVALUATIONS))
    ]
    return _verdict("At worst a tie under the paper's protocol (experiment 1)", points, False)


def _tie_time(rows: Rows) -> list[str]:
    scores = scores_of(rows, "time")
    others = competitors(scores, "time")
    points = [
        (seconds_name(time_s), hardest(scores, TIME_NAMES, others, time_s)) for time_s in TIMES_S
    ]
    return [
        *_verdict("At worst a tie at equal wall time (experiment 2)", points, False),
        *_beside_portfolio(scores, TIME_NAMES, TIMES_S),
    ]


def _beside_portfolio(scores: Scores, names: Sequence[str], times_s: Sequence[float]) -> list[str]:
    """Ours beside what contains it, which no verdict counts."""
    duels = [(t, duel(scores, names, OURS, PORTFOLIO, t)) for t in times_s]
    said = [f"{seconds_name(t)}: {found.text}" for t, found in duels if found is not None]
    if not said:
        return []
    return [f"    - not counted, since it is `{OURS}` beside the exact solver: {'; '.join(said)}."]


def _paper(rows: Rows) -> list[str]:
    """Is the published agent ahead of its ablations, by mean speed-up, as in the paper?"""
    goal = f"`{PAPER}` ahead of its own ablations, as in the paper"
    lines, behind, apart, measured = [], 0, 0, 0
    scores = scores_of(rows, "protocol")
    for ablation in ABLATIONS:
        strata: dict[str, list[list[float]]] = {PAPER: [], ablation: []}
        for case in PAPER_CASES:
            found = {name: _speedups(scores, case.name, name) for name in strata}
            if all(len(values) >= LEAST_SEEDS for values in found.values()):
                for name, values in found.items():
                    strata[name].append(values)
        if not strata[PAPER]:
            lines.append(f"    - {ablation}: no rows.")
            continue
        measured += 1
        ours, theirs = (interval(strata[name], mean) for name in (PAPER, ablation))
        word = "ahead of" if theirs.below(ours) else "level with"
        if ours.below(theirs):
            word = "behind"
        behind += ours.mid < theirs.mid
        apart += theirs.below(ours)
        lines.append(
            f"    - {word} `{ablation}`: mean speed-up {_plain(ours)} against {_plain(theirs)} on "
            f"{len(strata[PAPER])} problems."
        )
    if not measured:
        return [f"- {goal}: **not measured**."]
    word = "short" if behind else "met"
    if not behind and measured < len(ABLATIONS):
        word = "not fully measured"
    tail = f"; intervals apart from {apart} of {measured}" if not behind else ""
    return [f"- {goal}: **{word}**{tail}.", *lines]


def _speedups(scores: Scores, case: str, method: str) -> list[float]:
    return [
        run.native_s / run.latency_s
        for run in scores.runs_of(case, method)
        if run.latency_s is not None and run.budget >= EVALUATIONS
    ]


def _plain(found: Interval) -> str:
    return f"{found.mid:.3f} ({found.low:.3f} to {found.high:.3f})"


def _controls(rows: Rows) -> list[str]:
    """Ours against the same search with a spoilt network, or none."""
    lines = []
    points: list[tuple[str, Sequence[str], float, str]] = [
        ("protocol", PROTOCOL_NAMES, EVALUATIONS, f"{EVALUATIONS:,} evaluations"),
        *(("time", TIME_NAMES, time_s, seconds_name(time_s)) for time_s in TIMES_S),
        *(
            ("unknown", names_of(truths), count, f"{group}, {count:,} measurements")
            for group, truths in GROUPS.items()
            for count in COUNTS
        ),
        *(
            ("open", open_names(rows), t, f"open problems, {seconds_name(t)}")
            for t in open_times(rows)
        ),
    ]
    by_part = {part: scores_of(rows, part) for part in PARTS}
    for part, names, at, title in points:
        scores = by_part[part]
        found = [d for c in CONTROLS if (d := duel(scores, names, OURS, c, at)) is not None]
        if not found:
            continue
        level = [d.other for d in found if not d.wins]
        says = "the trained network is ahead of every control"
        if level:
            says = (
                f"learning adds nothing that shows over {', '.join(f'`{name}`' for name in level)}"
            )
        lines.append(f"- {title}: {says}.")
        others = [d for v in VARIANTS if (d := duel(scores, names, OURS, v, at)) is not None]
        lines += [f"    - {d.text}." for d in [*found, *others]]
    return lines or ["Not measured: there are no rows of `egrl` beside its controls."]
