"""The rules by which references place, against the same rules one tensor at a time."""

import numpy as np
import pytest

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import Rectifier, build_rectifier
from egrl.placers.acts_first import acts_first_order
from egrl.placers.all_outermost import AllOutermost
from egrl.placers.constructive import fewest_bytes_first
from egrl.placers.decoder import Decoder, build_decoder
from egrl.placers.greedy import density_order
from egrl.placers.native import RESIDENT_KINDS, execution_order
from egrl.placers.session import demotion_cost
from graph_ir.workload import TensorKind
from tests.placers.support import TARGETS, random_problem

SEEDS = range(4)


@pytest.fixture(params=[(target, seed) for target in TARGETS for seed in SEEDS], ids=str)
def decoder(request) -> Decoder:
    target, seed = request.param
    return build_decoder(random_problem(target, seed, 15 + 20 * seed, 0.3, wide=seed % 2 == 1))


def homes_of(problem: PlacementProblem, t: int) -> list[int]:
    return np.flatnonzero(problem.allowed_TH[t]).tolist()


def test_homes_that_take_fewest_bytes_come_first(decoder):
    problem = decoder.problem
    tier_H, size_TH = problem.arrays.tier_H, problem.arrays.size_bytes_TH
    for t, choices in enumerate(fewest_bytes_first(problem).tolist()):
        homes = sorted(homes_of(problem, t), key=lambda h: (-tier_H[h], size_TH[t, h], h))
        assert choices == homes + [-1] * (len(tier_H) - len(homes))


def test_greedy_places_by_falling_density(decoder):
    problem = decoder.problem
    keys = []
    for t in decoder.free.tolist():
        tensor, (outermost, *others) = problem.workload.tensors[t], homes_of(problem, t)
        density = max(
            decoder.values.saved_s(t, home, outermost)
            / max(1, int(problem.arrays.size_bytes_TH[t, home]) * (tensor.end - tensor.start))
            for home in others
        )
        keys.append((-density, t))
    assert density_order(problem, decoder).tolist() == [t for _, t in sorted(keys)]


def test_acts_first_places_buffers_by_size_and_weights_by_stall(decoder):
    problem = decoder.problem
    first_T = fewest_bytes_first(problem)[:, 0]
    buffers, weights = [], []
    for t in decoder.free.tolist():
        tensor = problem.workload.tensors[t]
        if tensor.kind in RESIDENT_KINDS:
            home = int(first_T[t])
            stall_s = decoder.values.saved_s(t, home, homes_of(problem, t)[0])
            weights.append((-stall_s / max(1, int(problem.arrays.size_bytes_TH[t, home])), t))
        else:
            buffers.append((tensor.size_bytes, tensor.start, t))
    expected = [t for *_, t in sorted(buffers)] + [t for _, t in sorted(weights)]
    assert acts_first_order(problem, decoder).tolist() == expected


def test_native_places_in_execution_order(decoder):
    problem = decoder.problem
    tensors = problem.workload.tensors
    met: list[int] = []
    for op in problem.workload.ops:
        kinds = [tensors[operand.tensor].kind for operand in op.operands]
        operands = list(zip(op.operands, kinds, strict=True))
        met += [o.tensor for o, kind in operands if kind in RESIDENT_KINDS]
        met += [o.tensor for o, kind in operands if kind is TensorKind.SCRATCH]
        met += [o.tensor for o, kind in operands if kind not in RESIDENT_KINDS and o.is_write]
    met += range(problem.tensor_count)
    free = set(decoder.free.tolist())
    expected = [t for t in dict.fromkeys(met) if t in free]
    assert execution_order(problem).tolist() == expected


def test_all_outermost_takes_the_first_home_with_room(decoder):
    problem = decoder.problem
    choices_TH = np.full(problem.allowed_TH.shape, -1, np.int8)
    for t in range(problem.tensor_count):
        homes = homes_of(problem, t)
        choices_TH[t, : len(homes)] = homes
    expected = decoder.decode(decoder.free, choices_TH)
    assert np.array_equal(AllOutermost().homes(problem, decoder), expected)


def test_what_a_demotion_costs(decoder):
    problem = decoder.problem
    rectifier: Rectifier = build_rectifier(problem, decoder.tables, decoder.values)
    cost_TH = demotion_cost(problem, rectifier)
    seconds_TH, outward_TH = rectifier.values.seconds_TH, rectifier.outward_TH
    for (t, home), cost in np.ndenumerate(cost_TH):
        if not problem.allowed_TH[t, home] or outward_TH[t, home] < 0:
            assert cost == 0.0
            continue
        tensor = problem.workload.tensors[t]
        lost_s = float(seconds_TH[t, outward_TH[t, home]] - seconds_TH[t, home])
        space = int(problem.arrays.size_bytes_TH[t, home]) * max(1, tensor.end - tensor.start)
        assert cost == max(lost_s, 1e-12) / max(1, space) > 0.0
