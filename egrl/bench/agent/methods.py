"""Every method of the experiments by name; adding one is one line.

A factory gets the problem, the machine that answers evaluations (None: the engine) and a placement
to begin with (None: the method's own), and imports its placer when it is called.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.evaluators.base import Evaluator
from egrl.placers import PLACERS
from egrl.placers.base import Placer

if TYPE_CHECKING:
    from egrl.agents.paper.config import Ablation

Make = Callable[[PlacementProblem, Evaluator | None, NDArray[np.int8] | None], Placer]
Kind = Literal["once", "search", "timed", "solver"]
Part = Literal["protocol", "schedules", "time", "unknown", "real", "open"]


@dataclass(frozen=True, slots=True)
class Method:
    """A method.

    Attributes:
        make: its factory.
        parts: experiments that it takes part in.
        kind: `once`: constructive, neither seed nor budget; `search`: its incumbent improves as it
            runs; `timed`: plans its work by the budget of time, so that every time is a run;
            `solver`: the same, and the budget is the solver's alone, without seeds.
    """

    make: Make
    parts: tuple[Part, ...]
    kind: Kind = "search"


def _named(name: str) -> Make:
    """A placer of the registry with its defaults."""
    return lambda _problem, _evaluator, _start: PLACERS[name]()


def _paper(ablation: "Ablation" = "none", as_published: bool = False) -> Make:
    """The published agent or an ablation of it, by the fast schedule unless told otherwise."""

    def make(
        _problem: PlacementProblem, evaluator: Evaluator | None, _start: NDArray[np.int8] | None
    ) -> Placer:
        from egrl.agents.paper.config import FAST, PaperConfig
        from egrl.placers.egrl_paper import EgrlPaper

        config = PaperConfig() if as_published else FAST
        return EgrlPaper(replace(config, ablation=ablation), evaluator=evaluator)

    return make


def _seeded(name: str) -> Make:
    """A search that begins with what `egrl` begins with and pays for it, or with what is given."""

    def make(
        _problem: PlacementProblem, evaluator: Evaluator | None, start_T: NDArray[np.int8] | None
    ) -> Placer:
        from egrl.bench.agent.seeded import Seeded
        from egrl.placers.anneal import Anneal
        from egrl.placers.guided import Guided
        from egrl.placers.lns import Lns
        from egrl.placers.random_key import RandomKey

        if name == "random-key" and start_T is not None:
            return RandomKey(start_T=start_T, evaluator=evaluator)
        searches: dict[str, Callable[[NDArray[np.int8]], Placer]] = {
            "random-key": lambda begin_T: RandomKey(start_T=begin_T),
            "guided": lambda begin_T: Guided(start_T=begin_T),
            "anneal": lambda begin_T: Anneal(start_T=begin_T),
            "lns": lambda begin_T: Lns(start_T=begin_T),
        }
        return Seeded(searches[name])

    return make


def _rule(
    _problem: PlacementProblem, _evaluator: Evaluator | None, _start: NDArray[np.int8] | None
) -> Placer:
    from egrl.placers.egrl import Egrl

    return Egrl(policy=None, search=False, seeds=False, samples=0)


def _true_local_search(
    _problem: PlacementProblem, evaluator: Evaluator | None, start_T: NDArray[np.int8] | None
) -> Placer:
    from egrl.placers.true_local_search import TrueLocalSearch

    return TrueLocalSearch(start_T=start_T, evaluator=evaluator)


def _egrl(name: str) -> Make:
    """Our agent, a control or an ablation of it."""

    def make(
        _problem: PlacementProblem, evaluator: Evaluator | None, start_T: NDArray[np.int8] | None
    ) -> Placer:
        from egrl.agents.egrl.population import PopulationConfig
        from egrl.placers.egrl import Egrl

        whole = Egrl(start_T=start_T, evaluator=evaluator)
        variants = {
            "egrl": whole,
            "egrl-untrained": replace(whole, policy=None),
            "egrl-no-edges": replace(whole, policy=NO_EDGES),
            "egrl-shuffled": replace(whole, spoilt="shuffled"),
            "egrl-softmax": replace(whole, head="softmax"),
            "egrl-no-seeds": replace(whole, seeds=False),
            "regal": replace(
                whole, seeds=False, walks=False, population=PopulationConfig(mutated=0.0)
            ),
        }
        return variants[name]

    return make


NO_EDGES = Path("docs", "benchmarks", "agent", "policy.no-edges.safetensors")
"""The control without edges: `scripts/train_policy --edges none`."""

ALL: tuple[Part, ...] = ("protocol", "time", "unknown", "open")
MODEL: tuple[Part, ...] = ("protocol", "time", "open")
COUNTED: tuple[Part, ...] = ("protocol",)
PLANNED: tuple[Part, ...] = ("time", "unknown", "open")

METHODS: dict[str, Method] = {
    "acts-first": Method(_named("acts-first"), MODEL, "once"),
    "greedy": Method(_named("greedy"), MODEL, "once"),
    "rule": Method(_rule, MODEL, "once"),
    "linear-rule": Method(_named("linear-rule"), MODEL, "once"),
    "egrl-paper": Method(_paper(), ("protocol", "schedules", "time")),
    "egrl-paper-as-published": Method(_paper(as_published=True), ("schedules",)),
    "egrl-paper:boltzmann-only": Method(_paper("boltzmann-only"), COUNTED),
    "egrl-paper:gnn-only": Method(_paper("gnn-only"), COUNTED),
    "egrl-paper:no-learner": Method(_paper("no-learner"), COUNTED),
    "egrl-paper:sac-only": Method(_paper("sac-only"), COUNTED),
    "greedy-dp": Method(_named("greedy-dp"), COUNTED),
    "random": Method(_named("random"), MODEL),
    "random-key": Method(_seeded("random-key"), ALL),
    "guided": Method(_seeded("guided"), MODEL),
    "anneal": Method(_seeded("anneal"), MODEL),
    "lns": Method(_seeded("lns"), MODEL),
    "egrl": Method(_egrl("egrl"), ALL),
    "egrl-untrained": Method(_egrl("egrl-untrained"), ALL),
    "egrl-no-edges": Method(_egrl("egrl-no-edges"), MODEL),
    "egrl-shuffled": Method(_egrl("egrl-shuffled"), MODEL),
    "egrl-softmax": Method(_egrl("egrl-softmax"), MODEL),
    "egrl-no-seeds": Method(_egrl("egrl-no-seeds"), MODEL),
    "regal": Method(_egrl("regal"), MODEL),
    "local-search": Method(_true_local_search, ("unknown",)),
    "exact": Method(_named("exact"), PLANNED, "solver"),
    "auto": Method(_named("auto"), PLANNED, "timed"),
}

PAPER = "egrl-paper"
ABLATIONS = tuple(name for name in METHODS if name.startswith("egrl-paper:"))

OURS = "egrl"
CONTROLS = ("egrl-untrained", "egrl-no-edges", "egrl-shuffled")
"""Names under which the network of `egrl` is taken away or spoilt."""

PORTFOLIO = "auto"
"""`egrl` and the exact solver beside each other: where it runs on the engine, no competitor."""

VARIANTS = ("egrl-no-seeds", "egrl-softmax")
"""Names of `egrl` with another decoder, or without help from other methods."""


SEEDLESS: tuple[Kind, ...] = ("once", "solver")
"""Kinds of methods that one run says all of."""


def is_seedless(method: str, part: str) -> bool:
    """Whether one run says all of a method; on an unknown machine plans are measured once."""
    kind = METHODS[method].kind
    return kind in SEEDLESS or (part == "unknown" and kind == "timed")


def of_part(part: Part, wanted: list[str]) -> list[str]:
    """Names of the methods of an experiment, in order; all where none is wanted."""
    names = [name for name, method in METHODS.items() if part in method.parts]
    return [name for name in names if not wanted or name in wanted]
