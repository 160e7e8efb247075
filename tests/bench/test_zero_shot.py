"""The document of `egrl bench zero_shot`, from rows made by hand."""

from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pytest

from accelerator_sim.problem import build_problem
from accelerator_sim.targets import load_target
from egrl.agents.egrl.checkpoint import SHIPPED, load_policy
from egrl.agents.egrl.folds import FOLDS
from egrl.bench import zero_shot
from egrl.bench.agent.settings import AgentOptions
from egrl.bench.options import BenchOptions
from egrl.bench.random_graphs import random_workload
from egrl.bench.zero_shot import _fastest, _shots
from egrl.bench.zero_shot_scale import Scale
from egrl.bench.zero_shot_start import Start, measure_start
from egrl.bench.zero_shot_table import Row, document


@dataclass(frozen=True)
class Gaps:
    policy: float
    full: float
    native: float = 0.10
    acts_first: float = 0.03
    rule: float = 0.02


def row(gaps, model="bert-base", target="nnp-i", fold="residual", shot_seconds=0.1):
    best = 1e-3
    return Row(
        model=model,
        target=target,
        fold=fold,
        ops=10,
        tensors=30,
        references_s={
            "native": best * (1 + gaps.native),
            "acts-first": best * (1 + gaps.acts_first),
        },
        rule_s=best * (1 + gaps.rule),
        rule_samples_s=best * (1 + gaps.rule),
        fold_s=best * (1 + gaps.policy),
        fold_first_s=best * (1 + min(gaps.policy, gaps.rule)),
        fold_samples_s=best * (1 + gaps.full),
        fold_full_s=best * (1 + gaps.full),
        shipped_s=None,
        shipped_first_s=None,
        shipped_samples_s=best,
        full_s=best,
        searched_s=best,
        best_s=best,
        bound_s=best,
        auto_seconds=5.0,
        shot_seconds=shot_seconds,
    )


LINEAR = [Scale(500, 1500, 0.05), Scale(5000, 15000, 0.5), Scale(20_000, 60_000, 2.0)]
SQUARE = [Scale(500, 1500, 0.05), Scale(5000, 15000, 5.0), Scale(20_000, 60_000, 80.0)]


def goals(rows, scale=LINEAR):
    text = document(rows, scale, {}, {})
    return text[text.index("## Goals") : text.index("## Fold")]


def test_goals_that_are_met():
    text = goals([row(Gaps(0.005, 0.001)), row(Gaps(0.004, 0.0), target="nnp-i-m2")])
    assert "SHORT" not in text
    assert "worst 0.50 % (met" in text
    assert "against `native` (never slower: met" in text
    assert "ops^1.00" in text


def test_goals_that_are_missed():
    rows = [row(Gaps(0.08, 0.02), shot_seconds=3.0), row(Gaps(0.12, 0.015), target="nnp-i-m2")]
    text = goals(rows, SQUARE)
    assert "median gap 10.00 % (SHORT" in text
    assert "worst 12.00 % (SHORT" in text
    assert "against `native` (never slower: SHORT" in text
    assert "against `rule` (faster more often than slower: SHORT" in text
    assert "3.000 s at most (SHORT)" in text
    assert "ops^2.00 from 500 ops on (SHORT)" in text


def test_every_row_is_shown_and_what_was_left_out_is_named():
    text = document([row(Gaps(0.01, 0.0))], LINEAR, {"vgg on tiny": "needs more"}, {})
    assert "| bert-base | nnp-i | 10 | 1000.0 |" in text
    assert "- vgg on tiny: needs more" in text
    assert text.count("## Fold") == len(FOLDS)
    line = next(part for part in text.splitlines() if part.startswith("| bert-base"))
    assert "| - |" in line  # the shipped policy decoded to nothing


def test_shots_are_deterministic_and_samples_no_worse():
    problem = build_problem(random_workload(30, np.random.default_rng(0)), load_target("nnp-i"))
    policy = load_policy(SHIPPED)
    rule, shots = _shots(problem, None), _shots(problem, policy)
    assert replace(_shots(problem, policy), seconds=shots.seconds) == shots
    assert rule.alone_s == rule.first_s
    assert shots.samples_s <= shots.first_s <= min(shots.alone_s, rule.alone_s)
    assert shots.seconds > 0
    assert _fastest(problem, np.zeros((0, problem.tensor_count), np.int8)) is None


@pytest.mark.parametrize("count", [1, 3])
def test_the_fastest_that_fits_counts(count):
    problem = build_problem(random_workload(30, np.random.default_rng(0)), load_target("nnp-i"))
    outermost = np.zeros((count, problem.tensor_count), np.int8)
    assert _fastest(problem, outermost) == pytest.approx(_fastest(problem, outermost[:1]))


def test_what_the_start_saves():
    starts = {"a on b": Start(0.1, 0.4), "c on d": Start(0.2, None), "e on f": Start(0.3, 0.3)}
    text = document([row(Gaps(0.0, 0.0))], LINEAR, {}, starts)
    assert "Faster with the policy in 1 of 2 rows, 2.50 times in the median" in text
    assert "Reached in 3 rows with it, in 2 without, of 3." in text
    assert "| c on d | 0.200 | - |" in text


def test_start_is_measured_and_a_bound_below_all_is_never_reached():
    problem = build_problem(random_workload(12, np.random.default_rng(0)), load_target("nnp-i"))
    start = measure_start(problem, 1.0)
    assert start.with_s is not None
    assert start.without_s is not None
    assert 0 < start.with_s < 5


def test_rewrite_measures_nothing(tmp_path, monkeypatch):
    def refuse(*_args):
        raise AssertionError("measured")

    for name in ("_measure_rows", "_measure_starts", "measure_scale"):
        monkeypatch.setattr(zero_shot, name, refuse)
    written = []
    monkeypatch.setattr(zero_shot, "_write", lambda _data, _options, kept: written.append(kept))
    out = tmp_path / "zero_shot.md"
    kept = zero_shot.Measured({}, [], {"a on b": "too large"})
    out.with_suffix(".json").write_bytes(msgspec.json.encode(kept))
    zero_shot.run(BenchOptions(out, tmp_path, [], [], agent=AgentOptions(rewrite=True)))
    assert written == [kept]
