"""Where the allocator needs more room than what is live, placements give way until it suffices."""

from collections.abc import Callable

import numpy as np
import pytest

import accelerator_sim.addresses
from accelerator_sim.addresses import has_addresses, tier_buffers
from accelerator_sim.allocate import Allocation, allocate, allocate_arrays
from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import build_rectifier
from accelerator_sim.reference_engine import live_bytes
from egrl.placers import PLACERS
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Budget, Search
from egrl.placers.decoder import build_decoder
from egrl.placers.greedy import Greedy
from tests.placers.support import TARGETS, random_problem

USABLE = 0.85


@pytest.fixture
def _clumsy_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """An allocator that wastes a share of every memory but the outermost."""

    def clumsy(capacity_bytes: int, found_within: Callable[[int], Allocation]) -> Allocation:
        if capacity_bytes >= 1 << 30:
            return found_within(capacity_bytes)
        found = found_within(int(capacity_bytes * USABLE))
        if found.feasible:
            return found
        wasted = capacity_bytes - int(capacity_bytes * USABLE)
        return Allocation(
            found.offsets, found.height_bytes + wasted, found.lower_bound_bytes, False,
            found.exhausted, found.nodes,
        )  # fmt: skip

    monkeypatch.setattr(
        accelerator_sim.addresses,
        "allocate",
        lambda buffers, capacity: clumsy(capacity, lambda room: allocate(buffers, room)),
    )
    monkeypatch.setattr(
        accelerator_sim.addresses,
        "allocate_arrays",
        lambda *arrays_and_capacity: clumsy(
            arrays_and_capacity[-1], lambda room: allocate_arrays(*arrays_and_capacity[:-1], room)
        ),
    )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_addresses_are_there_where_every_tier_can_be_allocated(target, share):
    problem = random_problem(target, 7, 25, max(share, 0.3) if "ethos" in target else share)
    rng = np.random.default_rng(5)
    tiers = problem.accelerator.tiers
    answers = []
    for crowded in np.linspace(0.0, 1.0, 40):
        homes_T = problem.allowed_TH.argmax(axis=1).astype(np.int8)
        for t in problem.free_tensors.tolist():
            if rng.random() < crowded:
                homes_T[t] = rng.choice(np.flatnonzero(problem.allowed_TH[t]))
        expected = all(
            allocate(buffers, int(tier.capacity_bytes.value)).feasible
            for tier, buffers in zip(tiers, tier_buffers(problem, homes_T.tolist()), strict=True)
        )
        assert has_addresses(problem, homes_T) == expected
        answers.append(expected)
    assert any(answers)
    assert not all(answers)


def peak_shares(problem: PlacementProblem, homes: list[int]) -> list[float]:
    """Most live bytes of every inner tier over its capacity."""
    live = np.array(live_bytes(problem, homes)).max(axis=0)
    capacities = [tier.capacity_bytes.value for tier in problem.accelerator.tiers]
    return [float(used / capacity) for used, capacity in zip(live, capacities, strict=True)][1:]


@pytest.mark.usefixtures("_clumsy_allocator")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "name",
    ["native", "acts-first", "greedy", "greedy-dp", "random", "anneal", "guided", "random-key"],
)
def test_what_is_returned_has_addresses(name, target):
    # A third of the Ethos's SRAM is the ring: more of it, or hardly any tensor fits the rest.
    problem = random_problem(target, 3, 40, 0.3 if target.startswith("ethos") else 0.05)
    budget = Budget(evaluations=9_000)
    result = PLACERS[name]().place(problem, budget, np.random.default_rng(0))
    shares = peak_shares(problem, result.homes_T.tolist())
    assert max(shares) <= USABLE
    # It gave way no further than it had to (greedy-dp ends where no single op gains).
    assert name == "greedy-dp" or max(shares) > 0.5 * USABLE


@pytest.mark.usefixtures("_clumsy_allocator")
@pytest.mark.parametrize("target", ["nnp-i", "nnp-i-partitioned"])
def test_a_search_goes_on_inside_the_smaller_room(target):
    problem = random_problem(target, 9, 60, 0.05)
    rng = np.random.default_rng(0)
    start = PLACERS["greedy"]().place(problem, Budget(), rng)
    for name in ("anneal", "guided"):
        found = PLACERS[name]().place(problem, Budget(evaluations=20_000), rng)
        assert found.latency_s < start.latency_s


def test_a_placement_with_addresses_is_offered_as_it_is():
    problem = random_problem("nnp-i", 5, 30)
    decoder = build_decoder(problem)
    homes_T = Greedy().homes(problem, decoder)
    latency_s, _ = evaluate(problem, homes_T)
    search = Search(problem, Budget())
    rectifier = build_rectifier(problem, decoder.tables, decoder.values)
    assert offer_addressable(search, rectifier, homes_T, latency_s)
    assert search.best_homes_T is not None
    assert (search.best_homes_T == homes_T).all()
    assert search.evaluations == 0
    # The same again is no improvement.
    assert not offer_addressable(search, rectifier, homes_T, latency_s)
