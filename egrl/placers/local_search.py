"""The compiled inner loop of the local searches: propose, make room, refill, time, accept or undo.

A step picks a tensor from a pool (one that is in it more often is picked more often) and one of its
other homes. Where that does not fit, tensors that are in the way are demoted, each to where the
picked one came from or to the nearest tier outwards that has room. What space the demoted leave is
offered to other tensors. What fits is timed and accepted by the rule of Metropolis et al. (1953);
everything else is set back.
"""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled
from accelerator_sim.incremental.live import tier_overflow
from accelerator_sim.incremental.moves import set_home
from accelerator_sim.incremental.retime import forget, keep, retime
from accelerator_sim.incremental.state import END, KEPT, PEAK, START, TOTAL, State, Tables

I64 = NDArray[np.int64]
I8 = NDArray[np.int8]

MAX_VICTIMS = 12
"""Tensors that one step may demote."""

STEPS_PER_EVALUATION = 10
"""A search whose proposals hardly ever fit gives up after so many."""

RESOLUTION_S = 1e-15
"""A best placement is replaced by one that is better by at least this."""


@compiled
def random_below(random: NDArray[np.uint64], bound: int) -> np.int64:
    """A random number in `[0, bound)`; `random` holds the state of an xorshift64* generator."""
    x = random[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    random[0] = x
    high = (x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(33)
    return np.int64(high % np.uint64(bound))


@compiled
def random_unit(random: NDArray[np.uint64]) -> float:
    """A random number in `(0, 1]`."""
    return float((random_below(random, 1 << 30) + 1) / (1 << 30))


@compiled
def _victim(
    tables: Tables,
    state: State,
    free: I64,
    cost_TH: NDArray[np.float64],
    k: int,
    skip: int,
    random: NDArray[np.uint64],
    noise: float,
) -> int:
    """A tensor of tier `k` that is live where the tier is fullest, or -1.

    With infinite noise any of them; otherwise the one that costs least to demote, each cost
    multiplied by a random number between 1 and 1 + noise.
    """
    worst = 0
    if state.tier_LF[k, PEAK] > 0:
        while state.live_LN[k, worst] < state.tier_LF[k, PEAK]:
            worst += 1
    first = random_below(random, free.shape[0])
    found = -1
    least = np.inf
    for n in range(free.shape[0]):
        position = first + n
        if position >= free.shape[0]:
            position -= free.shape[0]
        t = free[position]
        home = state.homes_T[t]
        if (
            tables.tier_H[home] == k
            and t != skip
            and tables.tensor_TF[t, START] <= worst < tables.tensor_TF[t, END]
            and tables.size_bytes_TH[t, home] > 0
        ):
            if noise == np.inf:
                return int(t)
            cost = cost_TH[t, home] * (1.0 + noise * random_unit(random))
            if cost < least:
                least, found = cost, t
    return int(found)


@compiled
def _has_room(tables: Tables, state: State, t: int, home: int) -> bool:
    """Whether a tensor fits even if it were live where the tier is fullest."""
    room = -tier_overflow(tables, state, tables.tier_H[home])
    return bool(tables.size_bytes_TH[t, home] <= room)


@compiled
def _demoted_home(
    tables: Tables, state: State, t: int, k: int, vacated: int, random: NDArray[np.uint64]
) -> int:
    """A home outside tier `k`: the vacated one, or the innermost with room, or the outermost."""
    if (
        tables.tier_H[vacated] < k
        and tables.allowed_TH[t, vacated]
        and random_below(random, 2) == 0
    ):
        return vacated
    found = -1
    for h in range(tables.tier_H.shape[0]):
        outside = tables.tier_H[h] < k and tables.allowed_TH[t, h]
        if outside and (found < 0 or _has_room(tables, state, t, h)):
            found = h
    return found


@compiled
def _biased_change(
    bias_TH: NDArray[np.float64], moved: I64, came_from: I64, count: int, homes_T: I8
) -> float:
    """What the first `count` moves change in the sum of `bias_TH`; a tensor may move twice."""
    changed_s = 0.0
    for n in range(count):
        t = moved[n]
        went_to = homes_T[t]
        for later in range(count - 1, n, -1):
            if moved[later] == t:
                went_to = came_from[later]
        changed_s += bias_TH[t, went_to] - bias_TH[t, came_from[n]]
    return float(changed_s)


@compiled
def search_steps(
    tables: Tables,
    state: State,
    free: I64,
    pool: I64,
    cost_TH: NDArray[np.float64],
    bias_TH: NDArray[np.float64],
    noise: float,
    refills: int,
    random: NDArray[np.uint64],
    hot_s: float,
    cold_s: float,
    max_evaluations: int,
    best_T: I8,
    best_s: float,
) -> tuple[float, int]:
    """Walk until `max_evaluations` placements were timed; the temperature falls geometrically.

    Args:
        tables: of the problem.
        state: in line with its homes and fitting; changed.
        free: tensors that may be demoted.
        pool: tensors to pick from.
        cost_TH: what demoting a tensor from a home costs, to choose whom.
        bias_TH: seconds that a tensor in a home takes beyond what the engine says.
        noise: see `_victim`.
        refills: tensors that are offered the space which a demotion leaves.
        random: generator state.
        hot_s: temperature in seconds at the beginning; 0 accepts nothing that is worse.
        cold_s: at the end.
        max_evaluations: at most so many.
        best_T: the best placement that was met; changed.
        best_s: its latency.

    Returns:
        The latency of `best_T`, and how many placements were timed.
    """
    home_count = tables.tier_H.shape[0]
    tier_count = tables.capacity_bytes_L.shape[0]
    moved = np.empty(MAX_VICTIMS + 1 + refills, np.int64)
    came_from = np.empty(MAX_VICTIMS + 1 + refills, np.int64)
    now_s = state.mark_SMF[KEPT, state.record_N.shape[0], TOTAL]
    bias_s = 0.0
    for n in range(state.homes_T.shape[0]):
        bias_s += bias_TH[n, state.homes_T[n]]
    now_s += bias_s
    evaluations = 0
    temperature = hot_s
    cooling = (cold_s / hot_s) ** (1.0 / max_evaluations) if hot_s > 0.0 else 1.0
    for _ in range(max_evaluations * STEPS_PER_EVALUATION):
        if evaluations >= max_evaluations:
            break
        t = pool[random_below(random, pool.shape[0])]
        home = random_below(random, home_count)
        while home == state.homes_T[t] or not tables.allowed_TH[t, home]:
            home = home + 1 if home + 1 < home_count else 0
        vacated = state.homes_T[t]
        # The first move is the pick; victims follow until all fits, then those who refill.
        count = 0
        left = refills
        fits = False
        while True:
            moved[count], came_from[count] = t, state.homes_T[t]
            set_home(tables, state, t, home)
            count += 1
            k = tier_count - 1
            while k >= 0 and tier_overflow(tables, state, k) <= 0:
                k -= 1
            fits = k < 0
            home = -1
            if not fits:
                if k > 0 and count <= MAX_VICTIMS:
                    t = _victim(tables, state, free, cost_TH, k, moved[0], random, noise)
                    if t >= 0:
                        home = _demoted_home(tables, state, t, k, vacated, random)
            elif count > 1:
                while left > 0 and home < 0:
                    left -= 1
                    t = pool[random_below(random, pool.shape[0])]
                    tier = tables.tier_H[state.homes_T[t]]
                    for h in range(home_count):
                        if (
                            tables.tier_H[h] > tier
                            and tables.allowed_TH[t, h]
                            and t != moved[0]
                            and _has_room(tables, state, t, h)
                        ):
                            home = h
            if home < 0:
                break
        accepted = False
        if fits:
            evaluations += 1
            changed_s = _biased_change(bias_TH, moved, came_from, count, state.homes_T)
            latency_s = retime(tables, state) + bias_s + changed_s
            worse_s = latency_s - now_s
            accepted = worse_s <= 0.0 or (
                temperature > 0.0 and random_unit(random) < np.exp(-worse_s / temperature)
            )
            temperature *= cooling
        if accepted:
            keep(state)
            now_s = latency_s
            bias_s += changed_s
            if now_s < best_s - RESOLUTION_S:
                best_s = now_s
                best_T[:] = state.homes_T
        else:
            for n in range(count - 1, -1, -1):
                set_home(tables, state, moved[n], came_from[n])
            forget(state)
    return best_s, evaluations
