"""The hyper-parameters of the search on an unknown machine, and the placer that takes them."""

import warnings
from dataclasses import fields

import numpy as np
import pytest

from egrl.agents.diverged import DivergedError
from egrl.agents.egrl.config import DEFAULT, EgrlConfig, load_config
from egrl.agents.egrl.unknown import build_unknown
from egrl.evaluators.perturbed import PerturbedEvaluator
from egrl.placers.base import Budget, Search
from egrl.placers.configured import configured, read_placer_config
from egrl.placers.decoder import build_decoder
from egrl.placers.egrl import Egrl
from graph_ir.errors import InputError, UnmetRequirementError
from tests.agents.ours.support import random_problem

SMALL = EgrlConfig(
    evaluations=15, plan_evaluations=40, model_evaluations=60,
    temperatures=(0.0, 1.0), plan_temperatures=(1e-3, 1e-2), model_temperatures=(1e-3,),
)  # fmt: skip


class Watched:
    def __init__(self, machine):
        self.machine, self.sizes = machine, []

    def measure(self, homes_PT):
        self.sizes.append(len(homes_PT))
        return self.machine.measure(homes_PT)


class Wild:
    """Latencies that no numbers hold."""

    def measure(self, homes_PT):
        return np.geomspace(1e-300, 1e300, len(homes_PT))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("evaluations = 0", "evaluations: expected at least 1|expected between 1"),
        ("temperatures = [0.0, -1.0]", "temperatures: expected between 0.0 and 1000.0, got -1.0"),
        ("temperatures = [0.0]", "plan_temperatures: expected 1 values as in temperatures, got 8"),
        ("temperatures = []", "temperatures: expected 1 to 1000 values, got 0"),
        ("temperatures = 0.3", "temperatures"),
        ("plan_temperatures = ['hot']", "plan_temperatures"),
        ("plan_temperatures = [0.0]", "plan_temperatures: expected between"),
        ("noise_shares = [1e-3, 0.0]", "noise_shares: expected between 1e-07 and 1.0, got 0.0"),
        ("spreads = [nan]", "spreads: expected between"),
        ("tuned_growth = inf", "tuned_growth: expected between"),
        ("tuned_growth = 0.5", "tuned_growth: expected between"),
        ("most_measurements = 1", "most_measurements: expected between"),
        ("retries = 2.5", "retries"),
        ("retrys = 2", "'retrys': unknown key"),
        ("= 2", "c.toml"),
    ],
)
def test_files_that_are_wrong(tmp_path, text, message):
    path = tmp_path / "c.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=message) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)
    assert "c.toml" in str(caught.value)


def test_every_number_has_a_range():
    for field in fields(EgrlConfig):
        value = getattr(DEFAULT, field.name)
        wrong = (float("nan"),) * len(value) if isinstance(value, tuple) else float("nan")
        with pytest.raises(InputError, match=f"^{field.name}: expected"):
            EgrlConfig(**{field.name: wrong})


def test_the_placer_does_what_its_file_says(tmp_path):
    path = tmp_path / "c.toml"
    lines = [f"{field.name} = {getattr(SMALL, field.name)!r}" for field in fields(SMALL)]
    text = "\n".join(lines).replace("(1e-3,)", "(1e-3)").replace("(0.001,)", "(0.001)")
    path.write_text(text.replace("(", "[").replace(")", "]"), "utf-8")
    problem = random_problem(20)
    machine = Watched(PerturbedEvaluator(problem, 1, 0.4))
    placer = configured(Egrl(evaluator=machine), read_placer_config("egrl", path))
    found = placer.place(problem, Budget(), np.random.default_rng(0))
    assert 15 <= found.evaluations <= 15 + 8  # repairs of placements without addresses
    assert max(machine.sizes[1:]) <= 2  # a round is as long as its temperatures
    machine = Watched(PerturbedEvaluator(problem, 1, 0.4))
    Egrl(evaluator=machine).place(problem, Budget(evaluations=30), np.random.default_rng(0))
    assert max(machine.sizes[1:]) > 2


def test_hyper_parameters_without_a_machine_are_refused():
    with pytest.raises(InputError, match="expected --evaluator beside --placer-config"):
        Egrl(config=SMALL).place(random_problem(6), Budget(), np.random.default_rng(0))


def test_latencies_that_no_numbers_hold_are_an_error_of_the_learner():
    problem = random_problem(20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DivergedError):
            Egrl(evaluator=Wild(), config=SMALL).place(problem, Budget(), np.random.default_rng(0))


def test_without_a_start_there_is_no_search():
    problem = random_problem(6)
    search = Search(problem, Budget(evaluations=9), evaluator=Wild())
    with pytest.raises(UnmetRequirementError, match="nothing feasible to begin with"):
        build_unknown(search, build_decoder(problem), [], np.random.default_rng(0))
