"""Fake machines: tiny programs that are given a plan, and placements to give them."""

import shlex
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import build_rectifier
from accelerator_sim.reference_engine import simulate
from egrl.evaluators.command import Command
from egrl.placers.random_search import random_homes

HEAD = """
import json, os, signal, sys, time
plan = json.load(open(sys.argv[1]))
# Seconds that tell placements apart: tensors weighed by their tier, inner ones being quicker.
tiers = [tier["name"] for tier in plan["tiers"]]
homes = [tiers.index(t["residences"][0]["tier"]) if t["residences"] else -1
         for t in plan["tensors"] if not t["name"].startswith("@")]
seconds = sum((i + 1) * (3 - h) for i, h in enumerate(homes) if h >= 0) * 1e-6
"""


def machine(folder: Path, body: str, **options: float) -> Command:
    """A program that has `plan`, `homes` and `seconds`, and does what the body says."""
    path = folder / "machine.py"
    path.write_text(HEAD + body)
    # Without the site packages, which take longer than all the rest.
    return Command(f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(path))}", **options)


def expected_seconds(problem: PlacementProblem, homes_T: NDArray[np.int8]) -> float:
    """What `seconds` is for a placement, by the problem rather than by the plan."""
    total = 0.0
    for t, tensor in enumerate(problem.workload.tensors):
        if tensor.alias_of is None:
            total += (t + 1) * (3 - problem.homes[homes_T[t]].tier)
    return total * 1e-6


def fitting(problem: PlacementProblem, count: int) -> NDArray[np.int8]:
    """Different placements that fit and have addresses."""
    rectified = build_rectifier(problem).batch(
        random_homes(problem, 8 * count, np.random.default_rng(7))
    )
    found: dict[bytes, NDArray[np.int8]] = {}
    for homes_T, fits in zip(rectified.homes_PT, rectified.fits_P, strict=True):
        if fits and len(found) < count:
            build_plan(problem, homes_T.tolist(), simulate(problem, homes_T.tolist()))
            found[homes_T.tobytes()] = homes_T
    assert len(found) == count
    return np.stack(list(found.values()))
