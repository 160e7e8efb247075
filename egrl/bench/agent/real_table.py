"""The part of experiment 3 on the real tiered machine, as Markdown."""

import numpy as np

from egrl.bench.agent.real_machine import EXACT, MODELS, NATIVE, ROUNDS, SEARCHES
from egrl.bench.agent.rows import Rows, Session
from egrl.bench.agent.text import table

LEAST_SEEDS = 3

AHEAD = "ahead of"

BEST_OF_OTHERS = tuple(method for method in SEARCHES if method != "egrl")


def real_section(rows: Rows) -> list[str]:
    """Markdown."""
    lines = [
        "### By the memories of this computer",
        "",
        "Plans are executed with their transfers by `runtime/tiered/` in its mode `whole`, where "
        "an op waits for its operands, which the engine does not know (see "
        "[tiered.md](tiered.md) for the memories). Every search begins with `exact`'s plan for "
        "the engine and measures what it tries once. What it ends with is judged by "
        f"{ROUNDS} rounds of executions that all plans share, each round in another order: "
        "*over exact*: the median over the rounds of its time over that of `exact`'s plan in the "
        "same round, mean of the seeds, and the least and the largest of them.",
        "",
    ]
    cells = []
    for name in MODELS:
        session = rows.sessions.get(name)
        if session is None:
            cells.append([name, "not measured yet", *[""] * 5])
        else:
            cells += [_row(session, method) for method in (NATIVE, EXACT, *SEARCHES)]
    header = ["model", "method", "seeds", "engine, ms", "measured, ms", "over exact", "from, to"]
    lines += [*table(header, cells), ""]
    for session in (rows.sessions[name] for name in MODELS if name in rows.sessions):
        lines += [
            f"{session.model}: {session.ops} ops, {session.measurements} measurements a search, "
            f"{session.minutes:.0f} minutes in all, on {session.machine}. {_verdict(session)}",
            "",
        ]
    return lines


def over_exact(session: Session, method: str) -> list[float]:
    """Of each seed the median ratio to `exact`'s plan, round by round."""
    exact_R = np.array(session.seconds[EXACT][0])
    return [float(np.median(np.array(found) / exact_R)) for found in session.seconds[method]]


def _row(session: Session, method: str) -> list[str]:
    ratios = over_exact(session, method)
    measured_s = [float(np.median(found)) for found in session.seconds[method]]
    return [
        session.model,
        method,
        str(len(ratios)),
        f"{1e3 * float(np.mean(session.modelled_s[method])):.1f}",
        f"{1e3 * float(np.mean(measured_s)):.1f}",
        f"{np.mean(ratios):.3f}",
        f"{min(ratios):.3f} to {max(ratios):.3f}" if len(ratios) > 1 else "",
    ]


def real_goal(rows: Rows) -> list[str]:
    """Whether `egrl` is ahead on every model, with a line for each."""
    goal = "On the real tiered machine as well (experiment 3)"
    sessions = [rows.sessions[name] for name in MODELS if name in rows.sessions]
    stands = {session.model: found for session in sessions if (found := _stand(session))}
    if not stands:
        return [f"- {goal}: **not measured**."]
    won = all(word == AHEAD for word, _ in stands.values())
    word = "met" if won else "short"
    if won and len(stands) < len(MODELS):
        word = "not fully measured"
    lines = [f"    - {model}: {word} `{other}`." for model, (word, other) in stands.items()]
    return [f"- {goal}: **{word}**, by the ranges of its seeds.", *lines]


def _stand(session: Session) -> tuple[str, str] | None:
    """`egrl` beside the best of the others; *ahead* where no seed overlaps; None: too few seeds."""
    if session.seeds < LEAST_SEEDS:
        return None
    ours = over_exact(session, "egrl")
    rivals = {method: over_exact(session, method) for method in (EXACT, *BEST_OF_OTHERS)}
    name = min(rivals, key=lambda method: (float(np.mean(rivals[method])), method))
    theirs = rivals[name]
    if max(ours) < min(theirs):
        return AHEAD, name
    return ("behind" if min(ours) > max(theirs) else "level with"), name


def _verdict(session: Session) -> str:
    found = _stand(session)
    if found is None:
        return f"Fewer than {LEAST_SEEDS} seeds: no verdict."
    return f"`egrl` is {found[0]} `{found[1]}`, the best of the others."
