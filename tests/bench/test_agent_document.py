"""The document from made-up rows: every verdict both ways, and what is missing is named."""

import itertools

import msgspec
import numpy as np
import pytest

from egrl.bench.agent import clocked_table, goals, protocol_table, schedules, unknown_table
from egrl.bench.agent.cases import PAPER_CASES, PROTOCOL_CASES, TIME_CASES
from egrl.bench.agent.document import document_lines, write_document
from egrl.bench.agent.methods import ABLATIONS, METHODS, PAPER, Method
from egrl.bench.agent.open_problems import OPEN_CASES
from egrl.bench.agent.rows import Rows
from egrl.bench.agent.scores import best_known, scores_of
from egrl.bench.agent.settings import SEEDS
from egrl.bench.agent.text import missing_text
from egrl.bench.agent.unknown import COUNTS, TRUTHS
from egrl.placers import PLACERS
from tests.bench.synthetic import reference, rows, run

OPEN = OPEN_CASES[0].name
TIME = TIME_CASES[0].name
PROTOCOL = PROTOCOL_CASES[0].name
UNKNOWN = [f"{PROTOCOL} by {truth}" for truth in TRUTHS]


@pytest.fixture(autouse=True)
def _with_ours(monkeypatch):
    """Registered as ours and a control, whether or not they are in the registry by now."""
    every = ("protocol", "time", "unknown", "open")
    for name in ("egrl", "egrl-untrained"):
        made = Method(lambda _problem, _evaluator, _start: PLACERS["random"](), every)
        monkeypatch.setitem(METHODS, name, made)


def verdicts(entries: Rows) -> dict[str, str]:
    """First words of the goals to their verdicts."""
    lines = [line for line in goals.section(entries) if line.startswith("- ") and "**" in line]
    return {line[2:10]: line.split("**")[1] for line in lines}


def spread(level: float) -> list[float]:
    """Latencies of five seeds around a level."""
    return [level * (1 + 0.001 * k) for k in (-2, -1, 0, 1, 2)]


def everywhere(ours: float, theirs: float, control: float = 1.5, method="random-key") -> Rows:
    """Rows of ours, another and a control in all experiments, at these latencies all along."""
    entries = [reference(PROTOCOL), reference(TIME), reference(OPEN)]
    levels = {"egrl": ours, method: theirs, "egrl-untrained": control}
    for (name, level), (seed, latency_s) in itertools.product(
        levels.items(), enumerate(spread(1.0))
    ):
        latency_s = level * latency_s
        entries.append(run("protocol", PROTOCOL, name, seed, [(1.0, latency_s)]))
        entries.append(run("time", TIME, name, seed, [(0.001, latency_s)], 10.0))
        entries.append(run("open", OPEN, name, seed, [(0.5, latency_s)], 60.0))
        entries += [run("unknown", case, name, seed, [(1.0, latency_s)]) for case in UNKNOWN]
    return rows(*entries)


def test_without_rows_nothing_is_measured_and_everything_is_missing():
    lines = document_lines(Rows({}, {}), set())
    text = "\n".join(lines)
    assert set(verdicts(Rows({}, {})).values()) == {"not measured"}
    assert text.count("Runs that are missing") == 5
    assert "Not measured yet." in text
    assert "nan" not in text
    assert "/tmp" not in text


def test_ahead_everywhere_is_a_win_everywhere():
    found = verdicts(everywhere(ours=1.0, theirs=1.2))
    assert found["Win on t"] == "met"
    assert found["Win on p"] == "met"
    assert found["At worst"] == "met"
    lines = "\n".join(goals.section(everywhere(1.0, 1.2)))
    assert "ahead of `random-key`" in lines
    assert "behind" not in lines.replace("*behind*", "")


def test_behind_everywhere_falls_short_of_everything():
    found = verdicts(everywhere(ours=1.2, theirs=1.0))
    assert found == {
        "Win on t": "short", "On the r": "not measured", "Win on p": "short",
        "At worst": "short", "`egrl-pa": "not measured",
    }  # fmt: skip
    assert "behind `random-key`" in "\n".join(goals.section(everywhere(1.2, 1.0)))


def test_level_is_a_tie_but_no_win():
    found = verdicts(everywhere(ours=1.0, theirs=1.0))
    assert found["Win on t"] == found["Win on p"] == "short"
    assert found["At worst"] == "met"
    assert "level with `random-key`" in "\n".join(goals.section(everywhere(1.0, 1.0)))


def test_goal_names_the_competitor_that_is_hardest():
    both = everywhere(1.0, 1.2).merged(everywhere(1.0, 1.05, method="random"))
    line = next(line for line in goals.section(both) if "4,000 evaluations" in line)
    assert "`random`" in line
    assert "on 1 problems" in line


def test_the_portfolio_that_contains_ours_is_shown_and_not_counted():
    found = everywhere(1.0, 1.2).merged(everywhere(1.0, 0.9, method="auto"))
    # On the unknown machine it is the solver on the model, and counts.
    assert verdicts(found) == {
        "Win on t": "short", "On the r": "not measured", "Win on p": "met",
        "At worst": "met", "`egrl-pa": "not measured",
    }  # fmt: skip
    lines = [line for line in goals.section(found) if "not counted" in line]
    assert len(lines) == 2  # problems that stay open, and equal wall time
    assert all("behind `auto`" in line for line in lines)
    assert "not counted" not in "\n".join(goals.section(everywhere(1.0, 1.2)))


def test_a_goal_that_is_measured_in_part_is_not_met():
    full = everywhere(1.0, 1.2)
    part = {key: r for key, r in full.runs.items() if "perturbed" not in r.case}
    assert verdicts(Rows(full.references, part))["Win on t"] == "not fully measured"


def test_runs_that_were_given_less_do_not_count():
    entries = rows(
        reference(PROTOCOL),
        *(run("unknown", UNKNOWN[0], "random-key", s, [(1.0, 1.1)], 400.0) for s in range(5)),
    )
    scores = scores_of(entries, "unknown")
    assert len(scores.of(UNKNOWN[0], "random-key", 400)) == 5
    assert scores.of(UNKNOWN[0], "random-key", COUNTS[-1]) == []


def test_duels_are_on_common_problems_only():
    other = PROTOCOL_CASES[1].name
    entries = rows(
        reference(PROTOCOL), reference(other),
        *(run("protocol", PROTOCOL, "egrl", seed, [(1.0, 1.0)]) for seed in range(3)),
        *(run("protocol", PROTOCOL, "random", seed, [(1.0, 1.5)]) for seed in range(3)),
        *(run("protocol", other, "random", seed, [(1.0, 1.0)]) for seed in range(3)),
        *(run("protocol", other, "egrl", seed, [(1.0, 1.0)]) for seed in range(2)),
    )  # fmt: skip
    found = goals.duel(scores_of(entries, "protocol"), [PROTOCOL, other], "egrl", "random", 4000)
    assert found is not None
    assert (found.problems, found.ours.mid, found.theirs.mid) == (1, 0.0, 0.5)
    assert found.wins
    assert not found.loses


def test_one_seed_decides_nothing():
    full = everywhere(1.0, 1.2)
    few = Rows(full.references, {key: r for key, r in full.runs.items() if r.seed == 0})
    assert set(verdicts(few).values()) == {"not measured"}
    text = "\n".join(document_lines(few, set()))
    assert "ahead of `random-key`" not in text
    assert "| egrl | 1 of 21 | 1 | 0.00 |" in text


def test_what_learning_adds_is_said_both_ways():
    ahead = "\n".join(goals.section(everywhere(1.0, 1.2, control=1.1)))
    assert "the trained network is ahead of every control" in ahead
    assert "learning adds nothing" not in ahead
    level = "\n".join(goals.section(everywhere(1.0, 1.2, control=1.0)))
    assert "learning adds nothing that shows over `egrl-untrained`" in level
    assert "ahead of every control" not in level


@pytest.mark.parametrize(
    ("paper", "ablation", "verdict"), [(1.0, 1.3, "met"), (1.3, 1.0, "short"), (1.0, 1.0, "met")]
)
def test_the_published_agent_against_its_ablations(paper, ablation, verdict):
    entries = [reference(case.name) for case in PAPER_CASES[:3]]
    levels = {PAPER: paper, **dict.fromkeys(ABLATIONS, ablation)}
    for case, (name, level) in itertools.product(PAPER_CASES[:3], levels.items()):
        for seed, latency_s in enumerate(spread(level)):
            entries.append(run("protocol", case.name, name, seed, [(1.0, latency_s)]))
    assert verdicts(rows(*entries))["`egrl-pa"] == verdict
    lines = "\n".join(goals.section(rows(*entries)))
    apart = {1.0: "level with", 1.3: "ahead of"} if paper == 1.0 else {1.0: "behind"}
    assert f"{apart[ablation]} `{ABLATIONS[0]}`" in lines
    assert "on 3 problems" in lines


def test_protocol_table_by_hand():
    latencies = [1.0, 1.04, 1.25, 1.6, 2.0]
    entries = rows(
        reference(PROTOCOL, best_s=1.0),
        *(
            run("protocol", PROTOCOL, "random", seed, [(1.0, 3.0), (100.0 + seed, latency_s)])
            for seed, latency_s in enumerate(latencies)
        ),
    )
    (line,) = [
        line for line in protocol_table.section(entries, set())
        if line.startswith("| random | 5 |") and "±" in line
    ]  # fmt: skip
    speedup = np.array([2.0 / latency_s for latency_s in latencies])
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2] == f"{speedup.mean():.3f} ± {speedup.std(ddof=1):.3f}"
    assert cells[3] == "2.000"
    assert cells[4] == f"{100 * (np.mean(latencies) / 0.9 - 1):.2f} %"
    assert cells[5] == f"{100 * (np.mean(latencies) - 1):.2f} %"
    # Within 5 % in two of five seeds, so the median seed is not; within 2 % in one.
    assert cells[6] == "- (2 of 5)"
    assert cells[7] == cells[8] == "- (1 of 5)"


def test_median_of_the_evaluations_counts_seeds_that_never_got_there():
    curves = [[(30.0, 1.0)], [(10.0, 1.0)], [(20.0, 1.0)], [(1.0, 2.0)]]
    entries = rows(
        reference(PROTOCOL),
        *(run("protocol", PROTOCOL, "random", s, curve) for s, curve in enumerate(curves)),
    )
    line = next(
        line for line in protocol_table.section(entries, set()) if line.startswith("| random | 4 |")
    )
    assert "| 20 (3 of 4) |" in line


def test_missing_runs_are_counted_by_method():
    there = [run("time", TIME, "random", seed, [(1.0, 1.0)], 10.0) for seed in range(4)]
    short = run("time", TIME, "random", 4, [(1.0, 1.0)], 1.0)
    entries = rows(reference(TIME), *there, short)
    scores = scores_of(entries, "time")
    text = missing_text(scores, [TIME], ["random"], 10, 10.0)
    assert text == "Runs that are missing, by method: random (6 of 10)."
    assert missing_text(scores, [TIME], ["random"], 4, 10.0) == "No run is missing."
    assert "greedy (1 of 1)" in missing_text(
        scores_of(entries, "time"), [TIME], ["greedy"], 10, 10.0
    )


def test_best_known_is_that_of_the_machine_and_of_the_cost_model():
    entries = rows(
        reference(PROTOCOL, best_s=1.0),
        run("protocol", PROTOCOL, "random", 0, [(1.0, 0.9)]),
        run("time", PROTOCOL, "random", 0, [(1.0, 0.95)]),
        run("time", PROTOCOL, "random", 1, [(1.0, 0.1)], native_s=1.0),
        run("unknown", UNKNOWN[0], "random", 1, [(1.0, 0.2)]),
    )
    assert best_known(entries, PROTOCOL) == 0.9
    assert best_known(entries, UNKNOWN[0]) == 0.2
    assert best_known(entries, "nowhere") == np.inf


def test_closed_problems_are_shown_and_left_out():
    closed = reference(OPEN, exact_gap=0.0)
    entries = rows(closed, run("open", OPEN, "random", 0, [(1.0, 1.0)], 60.0))
    assert OPEN not in clocked_table.open_names(entries)
    lines = clocked_table.open_section(entries, set())
    assert any(line.startswith(f"| {OPEN} |") and line.endswith("| no |") for line in lines)
    assert f"0 of {len(OPEN_CASES) - 1}" in "\n".join(lines)


def test_pictures_and_document_are_the_same_bytes_and_old_pictures_go(tmp_path):
    pytest.importorskip("matplotlib")
    entries = everywhere(1.0, 1.2).merged(
        rows(*(run("protocol", PROTOCOL, PAPER, s, [(1.0, 3.0), (900.0, 1.1)]) for s in range(5)))
    )
    out = tmp_path / "agent.md"
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "curves-of-old.svg").write_text("old")
    write_document(entries, out)
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    write_document(entries, out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == first
    names = {path.name for path in (tmp_path / "agent").iterdir()}
    slug = "resnet50-fp16-on-nnp-i"
    assert names == {
        f"curves-{slug}.svg", f"moves-{slug}.svg", "time.svg", "unknown.svg", "open.svg",
    }  # fmt: skip
    text = out.read_text()
    assert all(f"](agent/{name})" in text for name in names)


def test_sections_name_every_machine_and_problem():
    text = "\n".join(unknown_table.section(Rows({}, {}), set()))
    assert all(truth in text for truth in TRUTHS)
    assert SEEDS == {"protocol": 5, "schedules": 3, "time": 10, "unknown": 3, "real": 3, "open": 3}
    text = "\n".join(clocked_table.open_section(Rows({}, {}), set()))
    assert all(case.name in text for case in OPEN_CASES)


def test_the_schedules_are_compared_by_time_and_result():
    case = schedules.CASES[0].name

    def told(fast, published):
        entries = [
            msgspec.structs.replace(
                run("schedules", case, method, seed, [(1.0, latency_s)], 4000.0), seconds=seconds
            )
            for method, found in ((schedules.FAST, fast), (schedules.PUBLISHED, published))
            for seed, (latency_s, seconds) in enumerate(found)
        ]
        return "\n".join(schedules.section(rows(*entries)))

    good = told([(1.0, 60.0), (1.0, 80.0)], [(1.1, 500.0), (1.0, 700.0)])
    assert "in under 300 s: met (at most 80 s" in good
    assert "takes 8.6 times as long" in good
    assert "no worse: met" in good
    late = told([(1.2, 310.0)], [(1.1, 500.0)])
    assert "in under 300 s: **short**" in late
    assert "no worse: **short**" in late
    assert "not compared yet" in told([(1.0, 60.0)], [])


def test_every_method_has_a_line_of_its_own():
    pictures = pytest.importorskip("egrl.bench.agent.pictures")
    styles = [pictures._style(method) for method in METHODS]
    assert len(set(styles)) == len(METHODS)
