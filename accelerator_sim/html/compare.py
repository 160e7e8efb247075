"""Several cases side by side: ops of the same name, where their times differ most."""

from collections.abc import Sequence

from accelerator_sim.html.limits import MAX_DIFFERENCES, drawn, short
from accelerator_sim.report_case import ReportCase

Json = dict[str, object]


def comparison(cases: Sequence[ReportCase]) -> Json | None:
    """Rows of ops that at least two cases have, largest difference first; None for one case."""
    if len(cases) < 2:
        return None
    times = [{op.name: op for op in case.report.ops} for case in cases]
    names = dict.fromkeys(name for case in times for name in case)
    rows = []
    for name in names:
        found = [case[name].duration_s for case in times if name in case]
        if len(found) >= 2:
            rows.append((max(found) - min(found), name))
    rows.sort(key=lambda row: (-row[0], row[1]))
    shown = [row for row in rows if row[0] > 0][:MAX_DIFFERENCES]
    return {
        "matched": len(rows),
        "different": sum(row[0] > 0 for row in rows),
        "names": [short(name) for _, name in shown],
        "spread_s": [drawn(spread) for spread, _ in shown],
        "duration_s": [
            [drawn(case[name].duration_s) if name in case else None for case in times]
            for _, name in shown
        ],
        "bound": [
            [case[name].bound if name in case else "" for case in times] for _, name in shown
        ],
    }
