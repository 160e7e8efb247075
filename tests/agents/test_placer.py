"""The placer: feasible, within its budget, repeatable, better than where it began."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egrl.agents.paper.config import FAST, PaperConfig
from egrl.agents.paper.genome import BoltzmannGenome
from egrl.agents.paper.train import Training
from egrl.placers import PLACERS
from egrl.placers.base import Budget, Search
from egrl.placers.egrl_paper import EgrlPaper
from graph_ir.errors import UnmetRequirementError
from tests.accelerator_sim.cases import problems
from tests.placers.support import TARGETS, check_result, random_problem

SMALL = {"hidden": 8, "depth": 1, "heads": 2, "batch": 4, "gradient_steps_per_evaluation": 0.1}
QUICK = replace(FAST, **SMALL)
PUBLISHED = replace(PaperConfig(), **SMALL)
ROOT = Path(__file__).resolve().parents[2]

IN_A_PROCESS = """
import numpy as np
from tests.agents.test_placer import PUBLISHED, QUICK
from tests.placers.support import random_problem
from egrl.placers.base import Budget
from egrl.placers.egrl_paper import EgrlPaper
for config in (QUICK, PUBLISHED):
    problem = random_problem("nnp-i", 3, 12)
    result = EgrlPaper(config).place(problem, Budget(evaluations=46), np.random.default_rng(5))
    print(result.homes_T.tobytes().hex(), repr(result.curve), result.evaluations)
"""


def place(problem, config, evaluations, seed=0):
    budget = Budget(evaluations=evaluations)
    return EgrlPaper(config).place(problem, budget, np.random.default_rng(seed))


@pytest.mark.parametrize("config", [QUICK, PUBLISHED], ids=["fast", "paper"])
@pytest.mark.parametrize("target", TARGETS)
def test_feasible_and_within_its_budget(target, config):
    for seed, ops, evaluations in ((1, 1, 3), (2, 9, 47)):
        problem = random_problem(target, seed, ops)
        result = place(problem, config, evaluations)
        check_result(problem, result)
        assert evaluations <= result.evaluations <= evaluations + 8


@settings(max_examples=25)
@given(
    problem=problems(max_ops=12),
    seed=st.integers(0, 2**32 - 1),
    ablation=st.sampled_from(["none", "boltzmann-only", "boltzmann-only", "sac-only"]),
)
def test_on_machines_far_from_any_real_one(problem, seed, ablation):
    try:
        result = place(problem, replace(QUICK, ablation=ablation), 30, seed)
    except UnmetRequirementError:
        return
    check_result(problem, result)


@pytest.mark.parametrize("ablation", ["boltzmann-only", "gnn-only", "no-learner", "sac-only"])
def test_ablations_lack_what_they_say(ablation):
    problem = random_problem("nnp-i", 2, 9)
    config = replace(QUICK, ablation=ablation)
    check_result(problem, place(problem, config, 60))
    run = Training(
        problem, config, Search(problem, Budget(evaluations=60)), np.random.default_rng(0)
    )
    chromosomes = sum(isinstance(genome, BoltzmannGenome) for genome in run.population)
    expected = {"boltzmann-only": (20, 20), "gnn-only": (20, 0), "no-learner": (20, 4)}
    assert (len(run.population), chromosomes) == expected.get(ablation, (0, 0))
    assert (run.learner is None) == (ablation in ("boltzmann-only", "no-learner"))


@pytest.mark.parametrize(
    ("seed", "ablation", "evaluations"),
    [(1, "none", 460), (0, "boltzmann-only", 1200), (1, "boltzmann-only", 1200)],
)
def test_it_beats_where_it_began(seed, ablation, evaluations):
    problem = random_problem("nnp-i", seed, 16, share=0.5)
    config = replace(QUICK, ablation=ablation, gradient_steps_per_evaluation=0.02)
    # Everything outermost and the first, random generation.
    began = place(problem, config, 21, 0)
    result = place(problem, config, evaluations, 0)
    assert result.latency_s < began.latency_s
    check_result(problem, result)


def test_the_learner_alone_improves():
    problem = random_problem("nnp-i", 0, 10, share=0.5)
    config = replace(QUICK, ablation="sac-only", exploration_decay=0.9)
    result = place(problem, config, 100)
    assert result.latency_s < result.curve[0][1]


def test_the_same_seed_gives_the_same_bytes_in_another_process():
    ran = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"},
    )  # fmt: skip
    here = []
    for config in (QUICK, PUBLISHED):
        result = place(random_problem("nnp-i", 3, 12), config, 46, 5)
        here.append(f"{result.homes_T.tobytes().hex()} {result.curve!r} {result.evaluations}")
    assert ran.stdout.splitlines() == here


def test_seeds_differ():
    problem = random_problem("nnp-i", 3, 16, share=0.5)
    config = replace(QUICK, ablation="boltzmann-only")
    curves = {place(problem, config, 60, seed).curve for seed in range(4)}
    assert len(curves) > 1


def test_schedules_differ_in_the_map_that_a_step_begins_with():
    problem = random_problem("nnp-i", 3, 12)
    begins = {}
    for config in (QUICK, PUBLISHED):
        search = Search(problem, Budget(evaluations=80))
        run = Training(problem, config, search, np.random.default_rng(0))
        run.generation()
        found = run.replay.sample(200, np.random.default_rng(0))
        begins[config.schedule] = found.state_BNS
        assert len(run.replay) == 22
    assert not begins["fast"].any()
    assert begins["paper"].any()


def test_the_learners_policy_joins_the_population():
    problem = random_problem("nnp-i", 3, 12)
    config = replace(QUICK, ablation="gnn-only", mutation_probability=0.0)
    run = Training(
        problem, config, Search(problem, Budget(evaluations=80)), np.random.default_rng(0)
    )
    run.generation()
    weights = [p.detach().numpy() for p in run.learner.actor.parameters()]
    same = [
        all((a == b).all() for a, b in zip(genome.weights, weights, strict=True))
        for genome in run.population
    ]
    assert sum(same) >= 1


def test_registered_without_importing_torch():
    code = (
        "import sys; from egrl.placers import PLACERS; PLACERS['egrl-paper']();"
        "assert 'torch' not in sys.modules; import egrl.environment;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert PLACERS["egrl-paper"]().config == FAST
