"""The problems of the experiments, and how to load one."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.bench.agent.settings import Settings
from egrl.bench.model_index import read_index
from egrl.compilation import prepare
from egrl.placers.base import Budget
from egrl.placers.native import Native

PROBLEMS_KEPT = 8
"""Problems that a process keeps; the largest take hundreds of megabytes."""


class AnyCase(Protocol):
    """A problem with a name. Equal cases are the same problem."""

    @property
    def name(self) -> str:
        """What rows and tables call it."""

    def load(self, folder: Path) -> PlacementProblem:
        """The placement problem."""

    def __hash__(self) -> int:
        """Of what tells it from others."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model in a type on a target.

    Attributes:
        model: of the development set.
        precision: execution type.
        target: accelerator.
        dims: extents other than those of the index.
        suffix: of the name, where `dims` make it another problem.
    """

    model: str
    precision: str
    target: str
    dims: tuple[tuple[str, int], ...] = ()
    suffix: str = ""

    @property
    def name(self) -> str:
        """What rows and tables call it."""
        return f"{self.model}{self.suffix} {self.precision} on {self.target}"

    def load(self, folder: Path) -> PlacementProblem:
        """The placement problem.

        Raises:
            InputError: the model is not built.
        """
        return _load(self, folder)


PAPER_MODELS = ("resnet50", "resnet101", "bert-base")

PAPER_CASES: tuple[Case, ...] = tuple(
    Case(model, precision, target)
    for target in ("nnp-i", "nnp-i-partitioned")
    for precision in ("fp16", "int8")
    for model in PAPER_MODELS
)
"""The paper's workloads."""

SMALL, MIDDLE, LARGE = ("ethos-u65-512", "int8"), ("hexagon-vtcm-8m", "int8"), ("nnp-i", "fp16")


def _sizes(
    model: str, dims: tuple[tuple[str, int], ...] = (), suffix: str = ""
) -> tuple[Case, ...]:
    return tuple(
        Case(model, precision, target, dims, suffix) for target, precision in (SMALL, MIDDLE, LARGE)
    )


PROTOCOL_CASES: tuple[Case, ...] = (
    *PAPER_CASES,
    *_sizes("efficientnet-lite0"),
    *_sizes("minilm"),
    *_sizes("smollm2-decode", (("context", 4096),), "-4k"),
)

TIME_CASES: tuple[Case, ...] = (
    *(Case(model, "fp16", "nnp-i") for model in PAPER_MODELS),
    Case("efficientnet-lite0", *SMALL[::-1]),
    Case("minilm", *MIDDLE[::-1]),
    Case("smollm2-decode", *LARGE[::-1], (("context", 4096),), "-4k"),
)
"""Fewer, since every run takes its time: the paper's, and one of each other model and size."""

UNKNOWN_CASES: tuple[Case, ...] = (
    Case("resnet50", "fp16", "nnp-i"),
    Case("bert-base", "fp16", "nnp-i"),
    Case("minilm", *MIDDLE[::-1]),
    Case("efficientnet-lite0", *SMALL[::-1]),
)


@lru_cache(maxsize=PROBLEMS_KEPT)
def _load(case: Case, folder: Path) -> PlacementProblem:
    entry = read_index(folder, [case.model])[case.model]
    dims = {**entry.dims, **dict(case.dims)}
    return prepare(folder / entry.file, case.target, case.precision, dims).problem


@lru_cache(maxsize=PROBLEMS_KEPT)
def native_seconds(case: AnyCase, folder: Path) -> float:
    """Latency of `native`, which speed-ups are over and which tells cost models apart."""
    problem = case.load(folder)
    return Native().place(problem, Budget(), np.random.default_rng(0)).latency_s


def chosen(cases: tuple[Case, ...], settings: Settings) -> list[Case]:
    """The cases of the wanted models, targets and types; empty means all."""
    models, targets = settings.common.models, settings.common.targets
    precisions = settings.agent.precisions
    return [
        case
        for case in cases
        if (not models or case.model in models)
        and (not targets or case.target in targets)
        and (not precisions or case.precision in precisions)
    ]
